//! What is SQLite's own: files, processes and losses. The rest is the conformance suite's.
