//! What a head takes in memory, near enough to bound those that are held.

use serde_json::{Map, Value};

use super::Head;

/// A place in a list or map, and the allocation behind it.
const PLACE: usize = 64;
/// A value by itself.
const VALUE: usize = size_of::<Value>();

impl Head {
    /// In bytes. A job that is let go weighs what it did before.
    pub(in crate::session) fn weight(&self) -> u64 {
        let session = &self.session;
        let place = |text: &str| text.len() + PLACE;
        // The names are in the key that it is found by as well.
        let key = 2 * (place(session.key.owner()) + place(session.key.id()));
        let tags: usize = session.tags.iter().map(|tag| place(tag)).sum();
        let jobs = session.jobs.iter().map(|job| &job.id);
        let jobs = jobs.chain(self.past.iter().map(|past| &past.job));
        let jobs: usize = jobs.map(|job| place(job.as_str())).sum();
        let names: usize = self.names.iter().map(|named| place(&named.key)).sum();
        let weight = size_of::<Self>()
            + key
            + session.name.as_deref().map_or(0, str::len)
            + self.credential.as_deref().map_or(0, str::len)
            + tags
            + jobs
            + names
            + session.training.len() * size_of::<u64>()
            + members(&session.settings);
        weight as u64
    }
}

fn members(map: &Map<String, Value>) -> usize {
    let each = map.iter();
    each.map(|(name, value)| name.len() + PLACE + of(value))
        .sum()
}

fn of(value: &Value) -> usize {
    VALUE
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(of).sum(),
            Value::Object(map) => members(map),
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::session::NewSession;

    #[test]
    fn a_head_weighs_at_least_its_text() {
        let rows = [
            json!({}),
            json!({ "system": "x".repeat(60_000) }),
            json!({ "list": vec![0; 20_000], "deep": [[[[{ "a": { "b": [null, true, 0.5] } }]]]] }),
            json!({ "names": (0..2_000).map(|n| n.to_string()).collect::<Vec<_>>() }),
        ];
        for settings in rows {
            let new = NewSession::of("ann").with(|new| {
                new.name = Some("Travel".into());
                new.tags = vec!["tag".into(); 32];
                new.settings = settings.as_object().unwrap().clone();
            });
            let (head, _) = Head::create(new, 1_000).unwrap();
            let text = serde_json::to_string(&head).unwrap().len() as u64;
            assert!((text..text * 40 + 9_000).contains(&head.weight()), "{text}");
        }
    }
}
