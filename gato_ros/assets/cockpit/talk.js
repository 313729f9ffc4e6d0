'use strict';
// Questions and answers; what is said of an answer so far grows in its line.
const lines = new Map();  // number -> item of the list

function chat(message) {
  for (const line of message.lines || []) {
    let item = lines.get(line.number);
    if (!item) {
      item = document.createElement('li');
      item.className = line.who;
      lines.set(line.number, item);
      $('talk').append(item);
    }
    put(item, line.words || '(it said nothing)');
    $('talk').scrollTop = $('talk').scrollHeight;
  }
  for (const number of [...lines.keys()].slice(0, -100)) {
    lines.get(number).remove();
    lines.delete(number);
  }
  if (message.caption !== undefined) put($('caption'), `Seen: ${message.caption}`);
}

function restart() {  // the server says all of it again, and another one's numbers begin anew
  lines.clear();
  $('talk').replaceChildren();
}

$('asking').addEventListener('submit', event => {
  event.preventDefault();
  if ($('question').value.trim()) say({ type: 'question', words: $('question').value });
  $('question').value = '';
});
