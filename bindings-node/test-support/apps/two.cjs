// Two sets of handlers, of which one is to be named.
const { Handlers } = require('credential-rotation');

const both = {};
for (const name of ['first', 'second']) {
  both[name] = new Handlers().defaultHandler(() => name);
}
module.exports = both;
