//! Lanes as the other languages describe them, in JSON.

use serde::Deserialize;

use super::Lane;
use crate::job::JobError;

/// A lane as on a command line, or with its members apart.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct LaneOptions(Form);

#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "a lane is `QUEUE[,QUEUE…][:N]`, or has `queues`, `concurrency` and, if wanted, `weights`"
)]
enum Form {
    Text(String),
    Apart(Apart),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Apart {
    queues: Vec<String>,
    concurrency: usize,
    weights: Option<Vec<u32>>,
}

impl LaneOptions {
    /// The lane.
    ///
    /// # Errors
    /// As [`Lane::parse`], [`Lane::new`] and [`Lane::weighted`].
    pub fn lane(&self) -> Result<Lane, JobError> {
        let apart = match &self.0 {
            Form::Text(text) => return Lane::parse(text),
            Form::Apart(apart) => apart,
        };
        let queues: Vec<&str> = apart.queues.iter().map(String::as_str).collect();
        let lane = Lane::new(&queues, apart.concurrency)?;
        match &apart.weights {
            Some(weights) => lane.weighted(weights),
            None => Ok(lane),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Lane, String> {
        let options: LaneOptions = serde_json::from_str(json).map_err(|e| e.to_string())?;
        options.lane().map_err(|error| error.to_string())
    }

    #[test]
    fn both_forms_are_read_and_others_are_told_what_they_could_be() {
        let lane = Lane::new(&["a", "b"], 2).unwrap();
        let weighted = lane.clone().weighted(&[3, 1]).unwrap();
        let rows = [
            (r#""a,b:2""#, Ok(lane.clone())),
            (r#"{"queues": ["a", "b"], "concurrency": 2}"#, Ok(lane)),
            (
                r#"{"queues": ["a", "b"], "concurrency": 2, "weights": [3, 1]}"#,
                Ok(weighted),
            ),
            (r#""a:0""#, Err("it is 1 to 65,536")),
            (
                r#"{"queues": [], "concurrency": 1}"#,
                Err("1 to 100 queues"),
            ),
            (
                r#"{"queues": ["a"], "concurrency": 1, "weights": []}"#,
                Err("each queue has one"),
            ),
            (r#"{"queue": "a"}"#, Err("a lane is `QUEUE")),
            ("7", Err("a lane is `QUEUE")),
        ];
        for (json, expected) in rows {
            match (read(json), expected) {
                (Ok(lane), Ok(expected)) => assert_eq!(lane, expected, "{json}"),
                (Err(told), Err(words)) => assert!(told.contains(words), "{json}: {told}"),
                (told, _) => panic!("{json}: {told:?}"),
            }
        }
    }
}
