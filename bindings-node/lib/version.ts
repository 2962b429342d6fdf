/** Tells what is installed. */
import { version as nativeVersion } from '../native/index.js';

/** The version of the core. */
export function version(): string {
  return nativeVersion();
}
