//! OAuth accounts: a token file, and its refresh done once for all who wait.
/// TEMP
#[derive(Debug)]
pub struct OAuthAccount;
#[allow(missing_docs, clippy::unused_async)]
impl OAuthAccount {
    pub fn needs_refresh(&self, _n: u64) -> bool {
        false
    }
    pub async fn refresh(&self, _s: &crate::Secret) -> Result<(), crate::provider::Fault> {
        Ok(())
    }
}
