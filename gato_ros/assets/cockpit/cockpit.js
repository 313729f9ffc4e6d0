'use strict';
const $ = id => document.getElementById(id);
const HELD_MS = 40;  // a held button is repeated so often; the server forgets it after 60 ms
// key -> field of a wish, axis, sign; with a caption for the pad, whose rows are the keyboard's.
// A key is a place on the keyboard (KeyboardEvent.code): its letter may change while it is held.
const MOVES = {
  q: ['angular', 2, 1, 'turn left'], w: ['linear', 0, 1, 'forward'],
  e: ['angular', 2, -1, 'turn right'], r: ['linear', 2, 1, 'up'],
  a: ['linear', 1, 1, 'left'], s: ['linear', 0, -1, 'back'],
  d: ['linear', 1, -1, 'right'], f: ['linear', 2, -1, 'down'],
  u: ['angular', 0, 1, 'roll +'], i: ['angular', 1, 1, 'pitch +'],
  o: ['angular', 0, -1, 'roll \u2212'], c: ['gripper', 0, -1, 'close'],
  h: ['home', 0, 1, 'home'], k: ['angular', 1, -1, 'pitch \u2212'], v: ['gripper', 0, 1, 'open'],
};
const COLOURS = ['#3b7ddd', '#e0762b', '#2e9e5b', '#c9372c', '#8a63d2', '#9a6b4b', '#d657a8', '#888'];
const held = new Set();
let socket = null, hello = null, enabled = false, wished = false;
const torques = [], tokens = [], newest = new Map();
let drawing = false;
const known = { name: '', seen: false, stale: false };  // the gamepad; stale: it must be let go once

function connect() {
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/socket${location.search}`);
  socket.binaryType = 'arraybuffer';
  socket.onopen = restart;
  socket.onmessage = event => typeof event.data === 'string' ? hear(JSON.parse(event.data)) : draw(event.data);
  socket.onclose = () => {
    letGo();
    for (const name of ['gate', 'holder']) put($(name), 'not connected');
    setTimeout(connect, 1000);
  };
}

function say(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function put(element, text) { if (element.textContent !== text) element.textContent = text; }

function log(words, level) {
  const time = new Date().toLocaleTimeString(), last = $('log').firstChild;
  if (last && last.words === words) {  // said again: the time and the number tell it
    last.textContent = `${time} ${words} (${++last.times} times)`;
    return;
  }
  const item = document.createElement('li');
  item.textContent = `${time} ${words}`;
  Object.assign(item, { words, times: 1 });
  item.className = level || '';
  $('log').prepend(item);
  while ($('log').children.length > 100) $('log').lastChild.remove();
}

function hear(message) {
  if (message.type === 'hello') greet(message);
  else if (message.type === 'state') show(message);
  else if (message.type === 'talk') chat(message);
  else if (message.type === 'prompts') offer(message.files, message.sentences);
  else if (message.words !== log.last || message.words.indexOf('control') < 0) {
    log.last = message.words;
    log(message.words, 'answer');
  }
}

function greet(message) {
  hello = message;
  $('cameras').replaceChildren(...message.cameras.map(name => {
    const figure = document.createElement('figure'), canvas = document.createElement('canvas');
    const caption = document.createElement('figcaption');
    canvas.id = `camera-${name}`;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${name} camera, live`);
    caption.textContent = name;
    figure.append(canvas, caption);
    return figure;
  }));
  const arm = message.joints.slice(0, -1);
  $('mode').replaceChildren(new Option('the tool', 'tool'), ...arm.map((name, i) => new Option(name, i)));
  $('joints').replaceChildren(...message.joints.map((name, i) => {
    const row = document.createElement('tr');
    row.innerHTML = '<td><span aria-hidden="true">\u25a0 </span></td><td></td><td></td>';
    row.firstChild.firstChild.style.color = COLOURS[i % COLOURS.length];
    row.firstChild.append(name);
    return row;
  }));
}

function offer(files, sentences) {  // a file is shown by its end, as the goal, or by its beginning
  $('sentences').replaceChildren(...sentences.map(words => new Option(words)));
  const chosen = $('shown').value;
  if (!files.length) { $('shown').replaceChildren(new Option('nothing recorded yet', '')); return; }
  $('shown').replaceChildren(...files.flatMap(name => [
    new Option(`${name}, its end`, `${name}#last`), new Option(`${name}, its beginning`, `${name}#first`)]));
  if (chosen && files.includes(chosen.split('#')[0])) $('shown').value = chosen;
}

function show(state) {
  const gate = state.status.safety, recorder = state.status.recorder, policy = state.status.policy;
  if (gate) {
    put($('gate'), `Gate: ${gate.message.startsWith(gate.state || '') ? '' : gate.state + ', '}${gate.message}`);
    $('gate').className = gate.level;
  } else put($('gate'), 'no gate heard yet');
  put($('holder'), !state.holder ? 'Nobody has control.' :
    state.holder === hello.page ? 'You have control.' : `${state.holder} has control.`);
  $('scene').hidden = !state.scenes;
  const episode = state.episode;
  if (episode.sentence) put($('episode'), `Scene ${episode.seed}: ${episode.sentence}: ${episode.failure || episode.status}`);
  if (recorder) put($('recorder'), `${recorder.message}; ${recorder.messages} messages, ${recorder.mb} MB, ${recorder.free_mb} MB free`);
  $('policy').setAttribute('aria-pressed', state.policy_on);
  put($('policy'), state.policy_on ? 'The policy may act' : 'Let the policy act');
  if ($('speed').value !== show.speed) put($('fast'), `${Math.round(100 * (show.speed = $('speed').value))} %`);
  const last = state.policy;
  if (policy) put($('prompt'), `Prompt: ${policy.prompt || 'none'}${policy.prompt_read_as ? `, read as "${policy.prompt_read_as}"` : ''}${policy.prompt_refused ? `. ${policy.prompt_refused}; nothing moves` : ''}`);
  put($('step'), last.tokens ? `${policy ? policy.message + '; ' : ''}latency ${last.latency_ms} ms, ${last.window}${policy && policy.window_capacity > 0 ? ` of ${policy.window_capacity}` : ''} tokens in the window` : '');
  if (state.image_age_ms.length) put($('age'), `Image age: ${state.image_age_ms[0]} ms, 95 % below ${state.image_age_ms[1]} ms`);
  for (const word of state.words) log(`${word.who}: ${word.words}`, word.level);
  if (state.torques.length) keep(torques, state.torques.map((x, i) => x / hello.scale[i]));
  if (last.tokens && last.stamp_ns !== show.stamp) { show.stamp = last.stamp_ns; keep(tokens, last.tokens); }
  show.count = (show.count || 0) + 1;
  if (show.count % 3) return;  // what people read need not change ten times a second
  [...$('joints').children].forEach((row, i) => {
    put(row.children[1], state.positions.length ? state.positions[i].toFixed(3) : '');
    put(row.children[2], state.torques.length ? state.torques[i].toFixed(2) : '');
  });
  plot();
}

function keep(rows, row) { rows.push(row); if (rows.length > 100) rows.shift(); }

function plot() {
  const line = $('torques').getContext('2d'), { width, height } = line.canvas;
  line.clearRect(0, 0, width, height);
  line.strokeStyle = '#8888';
  line.strokeRect(0, height / 2, width, 0);
  for (let j = 0; torques.length && j < torques[0].length; j++) {
    line.strokeStyle = COLOURS[j % COLOURS.length];
    line.beginPath();
    torques.forEach((row, i) => line.lineTo(i * width / 100, height / 2 * (1 - row[j])));
    line.stroke();
  }
  const cells = $('tokens').getContext('2d'), box = cells.canvas;
  cells.clearRect(0, 0, box.width, box.height);
  tokens.forEach((row, i) => row.forEach((id, j) => {
    cells.fillStyle = `hsl(${240 - 240 * (id - 32000) / 1023} 70% 50%)`;
    cells.fillRect(i * box.width / 100, j * box.height / row.length, box.width / 100, box.height / row.length - 1);
  }));
}

async function draw(data) {  // the newest of each camera, never a queue
  newest.set(new DataView(data).getUint8(0), data);
  if (drawing || !hello) return;
  drawing = true;
  while (newest.size) {
    const [number, bytes] = newest.entries().next().value;
    newest.delete(number);
    const arrived = new DataView(bytes).getFloat64(1, true), canvas = $(`camera-${hello.cameras[number]}`);
    const picture = await createImageBitmap(new Blob([bytes.slice(9)], { type: 'image/jpeg' }));
    if (canvas.width !== picture.width) canvas.width = picture.width;
    if (canvas.height !== picture.height) canvas.height = picture.height;
    canvas.getContext('2d').drawImage(picture, 0, 0);
    requestAnimationFrame(() => say({ type: 'drawn', arrived_s: arrived }));
  }
  drawing = false;
}

function pad() {  // the browser's Gamepad API, mapped as in gamepad.py
  if (document.hidden) return null;
  const found = [...(navigator.getGamepads ? navigator.getGamepads() : [])].find(
    one => one && one.connected !== false);
  const name = found ? `${found.index} ${found.id}` : '';
  const pressed = Boolean(found && found.buttons[4] && found.buttons[4].pressed);
  if (known.seen && name !== known.name) known.stale = true;  // it has gone, or another has come
  Object.assign(known, { name, seen: known.seen || Boolean(found) });
  if (!pressed) { if (found) known.stale = false; return null; }
  if (known.stale) return null;  // it must be let go once
  const axis = i => {
    const value = Number.isFinite(found.axes[i]) ? Math.max(-1, Math.min(1, found.axes[i])) : 0;
    return Math.abs(value) > 0.12 ? -value : 0;
  };
  const on = i => found.buttons[i] && found.buttons[i].pressed;
  const across = [axis(1), axis(0)], turning = on(5);
  return { linear: [...(turning ? [0, 0] : across), axis(3)], angular: [...(turning ? across : [0, 0]), axis(2)],
    gripper: (on(1) ? 1 : 0) - (on(0) ? 1 : 0), home: Boolean(on(9)) };
}

function wish() {
  const stick = pad();
  if (!enabled && !stick) return null;
  const made = stick || { linear: [0, 0, 0], angular: [0, 0, 0], gripper: 0, home: false };
  made.speed = Number($('speed').value);
  if (enabled) for (const key of held) {
    const [field, axis, sign] = MOVES[key];
    if (field === 'gripper') made.gripper = sign;
    else if (field === 'home') made.home = true;
    else made[field][axis] = sign;
  }
  if ($('mode').value !== 'tool') {  // one joint, by the keys for forward and back
    made.joints = hello.joints.slice(0, -1).map((_, i) => i === Number($('mode').value) ? made.linear[0] : 0);
    made.linear = made.angular = [0, 0, 0];
  }
  return made;
}

function tell() {
  const now = wish();
  if (now === null && !wished) return;
  wished = now !== null;
  say({ type: 'wish', wish: now });
  if (now === null) say({ type: 'release' });
}

function letGo() {
  if (known.name) known.stale = true;
  enable(false);
}

function enable(on) {
  enabled = on;
  if (!on) held.clear();  // who enables again presses anew
  $('enable').classList.toggle('held', on);
  $('enable').setAttribute('aria-pressed', on);
  tell();
}

const typing = () => /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);

const letter = event => /^Key[A-Z]$/.test(event.code) ? event.code[3].toLowerCase() : '';
const other = event => event.ctrlKey || event.metaKey || event.altKey
  || ['Control', 'Meta', 'Alt', 'AltGraph', 'OS'].includes(event.key);

addEventListener('keydown', event => {
  if (other(event)) { if (enabled || held.size) letGo(); return; }  // a release may never be told
  if (typing() || event.repeat) {
    if (event.code === 'Space' && !typing()) event.preventDefault();
    return;
  }
  const key = letter(event), digit = /^([1-9])$/.exec(event.key) || /^Digit([1-9])$/.exec(event.code);
  if (event.code === 'Space') { event.preventDefault(); enable(true); }
  else if (key in MOVES) { held.add(key); tell(); }
  else if (digit) $('speed').value = Number(digit[1]) / 10;
});
addEventListener('keyup', event => {
  if (event.code === 'Space') { if (!typing()) event.preventDefault(); enable(false); }
  else if (held.delete(letter(event))) tell();
});
addEventListener('focusin', () => { if (typing() && (enabled || held.size)) letGo(); });
addEventListener('contextmenu', () => { if (enabled || held.size) letGo(); });
if (navigator.keyboard) {  // where the browser tells of layouts: letters as they are printed
  const name = () => navigator.keyboard.getLayoutMap && navigator.keyboard.getLayoutMap().then(map => {
    for (const key in MOVES) put($(`key-${key}`), (map.get(`Key${key.toUpperCase()}`) || key).toUpperCase());
  }).catch(() => {});
  if (navigator.keyboard.addEventListener) navigator.keyboard.addEventListener('layoutchange', () => { letGo(); name(); });
  addEventListener('load', name);
}
for (const name of ['blur', 'pagehide']) addEventListener(name, letGo);
document.addEventListener('visibilitychange', () => { if (document.hidden) letGo(); });

function holdable(button, press, release) {
  button.addEventListener('pointerdown', event => {
    if (event.pointerType === 'mouse' && event.button) return;
    try { button.setPointerCapture(event.pointerId); } catch { return; }  // it has gone already
    press();
  });
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) button.addEventListener(name, release);
  button.addEventListener('contextmenu', event => event.preventDefault());
}

holdable($('enable'), () => enable(true), () => enable(false));
for (const [key, [, , , caption]] of Object.entries(MOVES)) {
  const button = document.createElement('button'), letter = document.createElement('kbd');
  letter.textContent = key.toUpperCase();
  letter.id = `key-${key}`;
  letter.setAttribute('aria-hidden', true);
  button.append(letter, caption);
  button.setAttribute('aria-keyshortcuts', key.toUpperCase());
  holdable(button, () => { held.add(key); tell(); }, () => { held.delete(key); tell(); });
  $('pad').append(button);
}
for (const button of document.querySelectorAll('[data-ask]')) {
  button.addEventListener('click', () => say({ type: 'ask', what: button.dataset.ask, yes: button.dataset.yes !== '0' }));
}
$('stop').addEventListener('click', () => { letGo(); say({ type: 'ask', what: 'stop' }); });
$('policy').addEventListener('click', () => say({ type: 'policy', on: $('policy').getAttribute('aria-pressed') !== 'true' }));
$('say').addEventListener('click', () => say({ type: 'prompt', words: $('words').value }));
$('remark').addEventListener('change', () => {
  if ($('remark').value) say({ type: 'remark', words: $('remark').value });
  $('remark').value = '';
});
$('show').addEventListener('click', () => { if ($('shown').value) say({ type: 'prompt', words: $('shown').value }); });
setInterval(tell, HELD_MS);
addEventListener('DOMContentLoaded', connect);  // once talk.js is there, too
