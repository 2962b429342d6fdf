/** The same names for `import`, from the one instance that `require` gives. */
export * from './testing.js';
