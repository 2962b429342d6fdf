//! OAuth accounts: a token file, and its refresh done once for all who wait.
