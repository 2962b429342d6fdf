/** Call LLMs through a rotating pool of credentials. */
export { version } from './version.js';
