//! For tests, ours and users': a simulated LLM endpoint and a clock set by hand.
