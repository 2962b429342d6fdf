//! Numbers by chance.

/// The largest: what JSON numbers hold exactly in every language.
const MOST: u64 = (1 << 53) - 1;

/// A number that nobody has drawn before, as good as surely.
pub(super) fn drawn() -> u64 {
    let (_, chance) = uuid::Uuid::new_v4().as_u64_pair();
    // A forked process goes on with its parent's chance: its own number tells them apart.
    (chance ^ u64::from(std::process::id()) << 32) & MOST
}
