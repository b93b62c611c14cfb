// Node's verdict on documents in hexadecimal, one a line: the class of the JSON
// object as enum json_class numbers it, or "bad".
'use strict';
const readline = require('readline');
const names = ['disconnect', 'text', 'limit', 'delete', 'warning'];
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function judge(bytes) {
  try {
    const o = JSON.parse(utf8.decode(bytes));
    if (o === null || typeof o !== 'object' || Array.isArray(o)) return 'bad';
    const i = names.findIndex((n) => Object.hasOwn(o, n));
    return i < 0 ? '5' : String(i);
  } catch {
    return 'bad';
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  console.log(judge(Buffer.from(line, 'hex')));
});
