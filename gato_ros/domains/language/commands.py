"""The words of commands before the arm: patterns and vocabulary, English and German.

Of each table the first part is for training; the second is held out, to be met in an evaluation
alone. Blocks are {a} on {b} on {c} from the top down, in German also in a case: {a_n}, {a_a},
{a_d} (nominative, accusative, dative); other slots are keys of WORDS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Words = tuple[str, ...]
Split = tuple[Words, Words]  # for training, held out


@dataclass(frozen=True)
class Form:
    """Patterns that stand in the same frames; task kind -> patterns. {x} of a frame is one."""

    frames: Split
    patterns: Mapping[str, Split]


COLOURS: Mapping[str, Words] = {  # plain ones more often
    'red': ('red',) * 9 + ('crimson', 'scarlet', 'bright red', 'dark red', 'ruby'),
    'green': ('green',) * 9 + ('emerald', 'lime green', 'bright green', 'dark green', 'lime'),
    'blue': ('blue',) * 9 + ('navy', 'navy blue', 'azure', 'light blue', 'dark blue'),
}
GERMAN_COLOURS: Mapping[str, Words] = {
    'red': ('rot', 'rot', 'rot', 'hellrot', 'knallrot'),
    'green': ('grün', 'grün', 'gruen', 'dunkelgrün', 'hellgrün'),
    'blue': ('blau', 'blau', 'blau', 'dunkelblau', 'hellblau'),
}
WORDS: Mapping[str, Split] = {
    'block': (('block',) * 5 + ('cube', 'cube', 'brick', 'brick', 'box', 'piece', 'toy block',
              'building block', 'wooden block', 'cuboid', 'cylinder', 'prism', 'thing'),
              ('dice', 'chunk', 'lego brick', 'object')),
    'put': (('put', 'put', 'put', 'place', 'place', 'set', 'lay', 'stack', 'stack', 'move',
             'bring', 'stick', 'drop', 'rest', 'position', 'pop', 'balance', 'park', 'get',
             'leave', 'stand', 'transfer', 'pile', 'load'),
            ('deposit', 'perch', 'plonk', 'arrange')),
    'on': (('on', 'on', 'on', 'onto', 'onto', 'on top of', 'on top of', 'upon', 'atop', 'on to'),
           ('on the top of', 'right on top of')),
    'upon': (('on', 'on top of', 'upon', 'atop'), ('right on',)),
    'must': (('goes', 'should go', 'must go', 'belongs', 'should be', 'must be', 'has to be',
              'is to be', 'should sit', 'should stand', 'is to stand', 'needs to be', 'comes'),
             ('is supposed to be', 'ought to be')),
    'lie': (('should be', 'goes', 'must be', 'belongs', 'should lie', 'has to be'),
            ('is supposed to be',)),
    'under': (('under', 'below', 'beneath', 'underneath'), ('right under',)),
    'lift': (('lift', 'lift', 'pick up', 'raise', 'hold up', 'take up', 'lift up'),
             ('hoist', 'heave up')),
    'reach': (('reach for', 'reach', 'go to', 'touch', 'move to', 'move the hand to',
               'move your gripper to', 'approach', 'go over to', 'reach out for'),
              ('head for', 'bring your hand to')),
    'klotz': (('klotz', 'klotz', 'klotz', 'würfel', 'würfel', 'block', 'stein', 'baustein',
               'bauklotz', 'quader', 'wuerfel'), ('holzklotz', 'ziegel')),
    'stell': (('stell', 'stelle', 'leg', 'lege', 'setz', 'setze', 'pack', 'tu', 'stapel',
               'stapele', 'bring', 'platziere'), ('bugsier', 'hiev')),
    'stellen': (('stellen', 'legen', 'setzen', 'packen', 'stapeln', 'tun', 'platzieren',
                 'bringen'), ('bugsieren', 'hieven')),
    'soll': (('soll', 'muss', 'gehört', 'kommt', 'sollte', 'gehoert', 'darf'), ('möge',)),
}
IMPERATIVE = Form(
    (('{x}', '{x}', '{x}', '{x}', 'please {x}', 'please {x}', '{x} please', '{x}, please',
      'could you {x}?', 'can you {x}?', 'would you {x}?', 'could you please {x}?', 'now {x}',
      'ok, {x}', 'ok now {x}', 'robot, {x}', 'hey robot, {x}', 'i want you to {x}',
      'i would like you to {x}', "let's {x}", 'next, {x}', 'your task: {x}', 'you should {x}',
      'would you be so kind as to {x}?', 'kindly {x}', 'try to {x}', 'go ahead and {x}',
      '{x} now', '{x} for me', '{x}, thank you', 'i need you to {x}', 'hello, {x}'),
     ('do me a favour and {x}', 'be so good and {x}', 'time to {x}', 'would you mind to {x}?',
      'alright then, {x}')),
    {'stack': (
        ('{put} {a} {on} {b}',) * 6 + (
            '{on} {b}, {put} {a}', '{upon} {b} {put} {a}', 'put {b} {under} {a}',
            'place {b} {under} {a}', '{under} {a}, put {b}', 'take {a} and {put} it {on} {b}',
            'pick up {a} and {put} it {on} {b}', 'grab {a} and {put} it {on} {b}',
            'lift {a} {on} {b}', 'lift {a} and {put} it {on} {b}', 'make {a} sit {upon} {b}',
            'let {a} stand {upon} {b}', 'have {a} rest {upon} {b}', 'cover {b} with {a}',
            'top {b} with {a}', 'use {b} as the base for {a}', 'give {b} {a} on top',
            'build a tower of two with {b} at the bottom and {a} on top',
            'build a tower with {a} on top and {b} at the bottom', 'make a stack: {a} {upon} {b}',
            'make a stack of {a} and {b}, with {b} below', 'stack {a} and {b}, {a} on top',
            'stack {b} and {a}, {b} at the bottom', 'move {a} to {b} and put it down on top',
            'go to {a}, take it, and {put} it {on} {b}', 'put on {b} {a}',
            'make sure that {a} is {upon} {b}', 'see that {b} is {under} {a}',
            'take {b} as the bottom and put {a} on it', 'leave {b} where it is and put {a} on it',
            'find {a}, find {b}, and put the first on the second', 'put {b} down first, then {a}',
            'put the {block} that is {colour_a} {on} the {block} that is {colour_b}',
            'use {a} to cover {b}', 'with {a}, cover {b}', 'make {b} carry {a}'),
        ('see to it that {a} ends up {on} {b}', 'hold {a}, then let it down {on} {b}',
         'get {a} to lie {upon} {b}', 'with {b} at the bottom, {put} {a} on top',
         'make a tower in which {a} stands {upon} {b}', 'leave {a} lying {upon} {b}',
         'take {a}, go to {b}, and put the first one on top of it')),
     'lift': (
        ('{lift} {a}',) * 5 + ('lift {a} up', 'pick {a} up', 'raise {a} into the air',
                               'hold {a} up high', 'take {a} off the table', 'lift {a} high',
                               'get {a} up in the air', 'grasp {a} and lift it'),
        ('take {a} and hold it up in the air', 'bring {a} up from the table')),
     'reach': (
        ('{reach} {a}',) * 5 + ('move towards {a}', 'put your hand next to {a}',
                                'bring the gripper close to {a}', 'go near {a}'),
        ('get your fingers close to {a}', 'let the hand go to {a}')),
     'tower': (
        ('{put} {a} {on} {b} {on} {c}', '{put} {a} {on} {b} and {b} {on} {c}',
         '{put} {b} {on} {c} and then {a} {on} {b}', '{put} {b} {on} {c} and {a} {on} top',
         'first {put} {b} {on} {c}, then {a} {on} {b}',
         'build a tower of {a}, {b} and {c} from top to bottom',
         'build a tower of {c}, {b} and {a} from the bottom up',
         'build a tower with {c} at the bottom, {b} in the middle and {a} on top',
         'make a tower of three: {a} on top, {b} in the middle, {c} below',
         'stack {c}, then {b}, then {a}, from the bottom up',
         'stack all three: {c} at the bottom, then {b}, then {a}',
         'stack all the blocks: {a} {upon} {b} {upon} {c}'),
        ('put {b} between {c} at the bottom and {a} at the top',
         'with {c} as the base, stack {b} and then {a}')),
     })
STATED = Form(
    (('{x}', '{x}', '{x}', '{x}', '{x}, please', '{x} please', 'please: {x}', 'task: {x}',
      'goal: {x}', 'ok, {x}', 'now {x}', 'robot, {x}', 'remember: {x}', 'next: {x}', 'so, {x}'),
     ('the plan is this: {x}', '{x}, if you can', 'listen: {x}')),
    {'stack': (
        ('{a} {on} {b}',) * 3 + ('{a} {must} {upon} {b}',) * 3 + (
            '{b} {lie} {under} {a}', '{b} {under} {a}', '{upon} {b} {must} {a}',
            '{under} {a} {lie} {b}', 'i want {a} {upon} {b}',
            'i would like to have {a} {upon} {b}', 'i want to see {a} {upon} {b}',
            'i want {b} {under} {a}', 'i need {a} {on} {b}', '{b} at the bottom, {a} on top',
            '{a} on top, {b} at the bottom', 'a tower of two: {a} {upon} {b}',
            '{b} first, then {a} on it', '{a} above {b}', '{a}, and {under} it {b}',
            '{b}, and {upon} it {a}', '{b} below, {a} above', '{b} gets {a} on top',
            '{b} should have {a} on top', '{b} is to carry {a}',
            'the block on top should be {a}, the lower one {b}', '{a} over {b}',
            'the lower block is {b}, the upper one is {a}', '{b} is the base for {a}',
            'what should be {upon} {b} is {a}', 'what should be {under} {a} is {b}',
            '{a} is to be put {on} {b}', '{a} should be stacked {on} {b}',
            'i would be happy with {a} {upon} {b}', 'it is {a} that {must} {upon} {b}',
            'it is {b} that {lie} {under} {a}', '{b} must end up {under} {a}'),
        ('{b} needs {a} on top of it', 'the place for {a} is {upon} {b}',
         '{a} wants to be {upon} {b}', '{b} ends up at the bottom and {a} on top',
         'in the end {a} {must} {upon} {b}', 'i wish {a} were {upon} {b}')),
     'lift': (('{a} up', 'i want {a} lifted', '{a} should be lifted', '{a} should be in the air',
               '{a} must go up'), ('i want {a} up in the air',)),
     'reach': (('the hand should be at {a}', 'i want your hand at {a}', 'the gripper goes to {a}'),
               ('your fingers should be near {a}',)),
     'tower': (('{a} {on} {b} {on} {c}', '{a} {upon} {b}, {b} {upon} {c}',
                '{c} at the bottom, {b} in the middle, {a} on top',
                '{a} on top, {b} in the middle, {c} at the bottom',
                '{c}, {upon} it {b}, and {upon} that {a}', 'a tower: {a}, {b}, {c}, top down',
                'i want a tower with {a} {upon} {b} {upon} {c}', '{c}, then {b}, then {a} on top'),
               ('the tower should read {a}, {b}, {c} from the top',)),
     })
BEFEHL = Form(
    (('{x}', '{x}', '{x}', 'bitte {x}', '{x} bitte', '{x}, bitte', 'jetzt {x}', 'ok, {x}',
      'roboter, {x}', 'los, {x}', '{x} jetzt', 'hallo, {x}', 'also {x}'),
     ('sei so gut und {x}', '{x}, ja')),
    {'stack': (
        ('{stell} {a_a} auf {b_a}',) * 4 + (
            '{stell} {a_a} oben auf {b_a}', '{stell} auf {b_a} {a_a}', '{stell} {b_a} unter {a_a}',
            'nimm {a_a} und {stell} ihn auf {b_a}', 'heb {a_a} auf {b_a}',
            'greif {a_a} und {stell} ihn oben auf {b_a}', '{stell} {a} auf {b}',
            'bau einen turm mit {b_d} unten und {a_d} oben', 'bau einen turm: {a} auf {b}',
            'bau einen turm: unten {b}, oben {a}', '{stell} unter {a_a} {b_a}'),
        ('hol {a_a} und {stell} ihn auf {b_a} drauf', '{stell} mir {a_a} da auf {b_a}')),
     'lift': (('heb {a_a} hoch', 'hebe {a_a} an', 'heb {a_a}', 'nimm {a_a} hoch',
               'halt {a_a} hoch', 'nimm {a_a} vom tisch'), ('heb {a_a} in die luft',)),
     'reach': (('greif nach {a_d}', 'geh zu {a_d}', 'berühre {a_a}', 'fahr zu {a_d}',
                'beweg die hand zu {a_d}'), ('geh mit der hand zu {a_d}',)),
     'tower': (('{stell} {a_a} auf {b_a} auf {c_a}', '{stell} {a_a} auf {b_a} und {b_a} auf {c_a}',
                '{stell} {b_a} auf {c_a} und dann {a_a} auf {b_a}',
                'bau einen turm: unten {c}, in der mitte {b}, oben {a}',
                'bau einen turm: oben {a}, dann {b}, unten {c}'),
               ('bau einen turm aus {c_d} unten, {b_d} in der mitte und {a_d} oben',)),
     })
WUNSCH = Form(
    (('{x}', '{x}', '{x}, bitte', '{x} bitte', 'bitte: {x}', 'aufgabe: {x}', 'ok, {x}'),
     ('das ziel: {x}',)),
    {'stack': (
        ('{a} auf {b}', '{a_n} auf {b_a}', '{a_n} {soll} auf {b_a}', '{a_n} {soll} auf {b_a}',
         'auf {b_a} {soll} {a_n}', '{b_n} {soll} unter {a_a}', 'unter {a_a} {soll} {b_n}',
         '{a_n} soll auf {b_d} stehen', 'auf {b_d} soll {a_n} liegen', '{b} unter {a}',
         'ich will {a_a} auf {b_d} sehen', 'ich möchte {a_a} auf {b_d} haben',
         'unten {b}, oben {a}', 'oben {a}, unten {b}', '{a} oben auf {b}',
         '{b_n} soll unter {a_d} stehen', 'erst {b}, darauf {a}'),
        ('{b_n} bekommt {a_a} obendrauf', '{a_n} kommt oben auf {b_a} drauf',
         'was auf {b_a} gehört, ist {a_n}')),
     'lift': (('{a_n} soll hoch', '{a_n} soll in die luft',
     '{a} hoch'), ('{a_n} muss nach oben',)), 'reach': (('die hand soll zu {a_d}',
     'ich will die hand bei {a_d} sehen'),
               ('deine hand gehört zu {a_d}',)),
     'tower': (('{a} auf {b} auf {c}', 'unten {c}, in der mitte {b}, oben {a}',
                '{a_n} soll auf {b_a} und {b_n} auf {c_a}', 'erst {c}, darauf {b}, darauf {a}'),
               ('ein turm, oben {a}, darunter {b}, ganz unten {c}',)),
     })
BITTE = Form(
    (('kannst du {x}?', 'kannst du bitte {x}?', 'bitte {x}', '{x}', 'könntest du {x}?',
      'du sollst {x}', 'würdest du {x}?', 'wir wollen {x}'), ('magst du mal {x}?',)),
    {'stack': (('{a_a} auf {b_a} {stellen}',) * 3 + (
        'auf {b_a} {a_a} {stellen}', '{b_a} unter {a_a} {stellen}', '{a} auf {b} {stellen}',
        '{a_a} nehmen und auf {b_a} {stellen}', '{a_a} oben auf {b_a} {stellen}'),
        ('{a_a} hochheben und dann auf {b_a} {stellen}',)),
     'lift': (('{a_a} heben', '{a_a} hochheben', '{a_a} anheben', '{a_a} hoch halten'),
              ('{a_a} in die luft heben',)),
     'reach': (('nach {a_d} greifen', 'zu {a_d} gehen', '{a_a} berühren'),
               ('mit der hand zu {a_d} fahren',)),
     'tower': (('{a_a} auf {b_a} und {b_a} auf {c_a} {stellen}',
                'erst {b_a} auf {c_a} und dann {a_a} auf {b_a} {stellen}'),
               ('{b_a} auf {c_a} und {a_a} ganz nach oben {stellen}',)),
     })
ENGLISH: tuple[Form, ...] = (IMPERATIVE, IMPERATIVE, STATED)
GERMAN: tuple[Form, ...] = (BEFEHL, BEFEHL, WUNSCH, BITTE)
