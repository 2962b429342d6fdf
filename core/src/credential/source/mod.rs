//! Where credentials come from: given, environment, a file, an accounts folder.
