//! Programs that ask a model: qwen, gemini, codex, claude, each described by data.
