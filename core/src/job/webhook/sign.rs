//! Signatures as the Standard Webhooks specification has them. Pure but for the variable.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use hmac::{Hmac, Mac};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

use crate::credential::Secret;

/// Where workers find the secret if none was given to them.
pub const WEBHOOK_SECRET_VARIABLE: &str = "CREDENTIAL_ROTATION_WEBHOOK_SECRET";

/// What stands before a secret's base64.
const PREFIX: &str = "whsec_";
/// A secret's length in bytes, as the specification has it.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// The most secrets at once.
const LIMIT: usize = 10;

/// Why nothing can be signed. No part of a secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretTrouble {
    #[error(
        "there is no secret to sign webhooks with: give the worker one, or set CREDENTIAL_ROTATION_WEBHOOK_SECRET to `whsec_` and the base64 of 24 to 64 random bytes"
    )]
    Missing,
    #[error(
        "secret {nth} of the webhooks' is none: give `whsec_` and the base64 of 24 to 64 random bytes, and a space between two (in CREDENTIAL_ROTATION_WEBHOOK_SECRET, or to the worker)"
    )]
    Malformed { nth: usize },
    #[error("there are over 10 secrets for webhooks: give the newest ones")]
    TooMany,
}

/// The secret that was given, else the one of the environment.
pub(super) fn secret(given: Option<&Secret>) -> Option<Secret> {
    let found = || {
        std::env::var(WEBHOOK_SECRET_VARIABLE)
            .ok()
            .map(Secret::from)
    };
    let secret = given.cloned().or_else(found);
    secret.filter(|secret| !secret.is_empty())
}

/// The value of `webhook-signature`: a signature by each of the secrets, which have spaces
/// between them, so that receivers can change from one to the next.
///
/// # Errors
/// When there is no secret, or something that is none.
pub(super) fn signatures(
    secret: Option<&Secret>,
    id: &str,
    seconds: u64,
    body: &[u8],
) -> Result<String, SecretTrouble> {
    let Some(secret) = secret else {
        return Err(SecretTrouble::Missing);
    };
    let keys = keys(secret)?;
    let signed = keys.iter().enumerate().map(|(nth, key)| {
        let mac = Hmac::<Sha256>::new_from_slice(key);
        let mut mac = mac.map_err(|_| SecretTrouble::Malformed { nth: nth + 1 })?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        Ok(format!(
            "v1,{}",
            STANDARD.encode(mac.finalize().into_bytes())
        ))
    });
    Ok(signed.collect::<Result<Vec<String>, _>>()?.join(" "))
}

/// # Errors
/// When something in it is no secret.
pub(super) fn check(secret: &Secret) -> Result<(), SecretTrouble> {
    keys(secret).map(drop)
}

fn keys(secret: &Secret) -> Result<Vec<Zeroizing<Vec<u8>>>, SecretTrouble> {
    let texts: Vec<&str> = secret.expose().split_whitespace().take(LIMIT + 1).collect();
    match texts.len() {
        0 => return Err(SecretTrouble::Missing),
        1..=LIMIT => {}
        _ => return Err(SecretTrouble::TooMany),
    }
    let key = |(nth, text): (usize, &&str)| {
        let coded = text.strip_prefix(PREFIX);
        let key = coded.and_then(|coded| STANDARD_PAD_INDIFFERENT.decode(coded).ok());
        key.map(Zeroizing::new)
            .filter(|key| LENGTHS.contains(&key.len()))
            .ok_or(SecretTrouble::Malformed { nth: nth + 1 })
    };
    texts.iter().enumerate().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn signed(secret: &str) -> Result<String, SecretTrouble> {
        signatures(Some(&Secret::from(secret)), ID, 1_614_265_330, BODY)
    }

    #[test]
    fn the_published_example_has_its_published_signature() {
        assert_eq!(signed(SECRET).unwrap(), SIGNATURE);
    }

    #[test]
    fn each_secret_signs_and_each_part_counts() {
        let other = format!("{PREFIX}{}", STANDARD.encode([7; 32]));
        let both = signed(&format!(" {SECRET}  {other}\n")).unwrap();
        let both: Vec<&str> = both.split(' ').collect();
        assert_eq!(both, [SIGNATURE, &signed(&other).unwrap()]);
        let secret = Secret::from(SECRET);
        for (id, seconds, body) in [
            ("msg", 1_614_265_330, BODY),
            (ID, 1_614_265_331, BODY),
            (ID, 1_614_265_330, b"{}"),
        ] {
            let signature = signatures(Some(&secret), id, seconds, body).unwrap();
            assert_ne!(signature, SIGNATURE);
        }
    }

    #[test]
    fn what_is_no_secret_is_said_to_be_and_not_shown() {
        let short = format!("{PREFIX}{}", STANDARD.encode([7; 23]));
        let long = format!("{PREFIX}{}", STANDARD.encode([7; 65]));
        let many = [SECRET; LIMIT + 1].join(" ");
        let rows = [
            ("", SecretTrouble::Missing),
            ("  ", SecretTrouble::Missing),
            (
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                SecretTrouble::Malformed { nth: 1 },
            ),
            ("whsec_!", SecretTrouble::Malformed { nth: 1 }),
            (&short, SecretTrouble::Malformed { nth: 1 }),
            (&long, SecretTrouble::Malformed { nth: 1 }),
            (&format!("{SECRET} x"), SecretTrouble::Malformed { nth: 2 }),
            (&many, SecretTrouble::TooMany),
        ];
        for (text, trouble) in rows {
            assert_eq!(signed(text), Err(trouble.clone()), "{text}");
            if trouble != SecretTrouble::TooMany {
                assert!(trouble.to_string().contains(WEBHOOK_SECRET_VARIABLE));
            }
        }
        assert_eq!(signatures(None, "a", 1, b""), Err(SecretTrouble::Missing));
    }
}
