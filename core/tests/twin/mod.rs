//! A session manager that is in another process: a child that does what lines of JSON say.
#![allow(clippy::unwrap_used, clippy::panic)]

mod errors;

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use credential_rotation::clock::Clock;
use credential_rotation::session::{
    Guard, NewSession, Range, Session, SessionError, SessionFilter, SessionKey, SessionManager,
    SessionPage, SharedSessions, Transcript, Verb, Write, Written, wire,
};
use credential_rotation::testing::ManualClock;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Where the child's sessions are.
const URL: &str = "SESSION_TWIN_URL";

/// What the child does, as the test that it is started with: opens the sessions at its URL
/// with a clock that shows the parent's time, and answers until there are no more lines.
pub(crate) async fn serve<F, O>(open: F)
where
    F: FnOnce(String, Arc<ManualClock>) -> O,
    O: Future<Output = SharedSessions>,
{
    let clock = Arc::new(ManualClock::new(0));
    let sessions = open(std::env::var(URL).unwrap(), clock.clone()).await;
    println!();
    for line in std::io::stdin().lines() {
        let mut wish: Value = serde_json::from_str(&line.unwrap()).unwrap();
        clock.set(wish["now"].as_u64().unwrap());
        let sessions = sessions.clone();
        tokio::spawn(async move {
            let told = match perform(&*sessions, wish["wish"].take()).await {
                Ok(answer) => json!({ "number": wish["number"], "answer": answer }),
                Err(error) => json!({ "number": wish["number"], "error": error.to_json() }),
            };
            println!("{told}");
        });
    }
}

/// Files are no part of the wire's JSON: here they are lists of bytes.
async fn perform(sessions: &dyn SessionManager, wish: Value) -> Result<Value, SessionError> {
    let key = || serde_json::from_value::<SessionKey>(wish["key"].clone()).unwrap();
    let name = || wish["name"].as_str().unwrap();
    match wish["verb"].as_str().unwrap() {
        "put_file" => {
            let guard: Guard = serde_json::from_value(wish["guard"].clone()).unwrap();
            let body: Vec<u8> = serde_json::from_value(wish["body"].clone()).unwrap();
            let key = key();
            let put = sessions.put_file(&key, guard, name(), body.into());
            Ok(json!(put.await?))
        }
        "file" => Ok(json!(sessions.file(&key(), name()).await?.to_vec())),
        _ => {
            let answer = wire::perform(sessions, &wish.to_string()).await?;
            Ok(serde_json::from_str(&answer).unwrap())
        }
    }
}

type Waiting = Mutex<HashMap<u64, oneshot::Sender<Value>>>;

/// The manager in the child, which ends with it.
pub(crate) struct Twin {
    child: Child,
    clock: Arc<ManualClock>,
    state: Mutex<(u64, ChildStdin)>,
    waiting: Arc<Waiting>,
}

impl Twin {
    /// Starts that test of this program as the child.
    pub(crate) fn start(test: &str, url: &str, clock: Arc<ManualClock>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--exact", test])
            .env(URL, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let waiting = Arc::<Waiting>::default();
        let (lines, asked) = (child.stdout.take().unwrap(), Arc::clone(&waiting));
        std::thread::spawn(move || {
            // What the test's harness says is no JSON.
            let lines = BufReader::new(lines).lines().map_while(Result::ok);
            for told in lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok()) {
                let number = told["number"].as_u64().unwrap();
                let _ = asked.lock().remove(&number).unwrap().send(told);
            }
            asked.lock().clear();
        });
        Self {
            clock,
            state: Mutex::new((0, child.stdin.take().unwrap())),
            child,
            waiting,
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, wish: Value) -> Result<T, SessionError> {
        let (reply, told) = oneshot::channel();
        {
            let mut state = self.state.lock();
            state.0 += 1;
            self.waiting.lock().insert(state.0, reply);
            let line = json!({ "number": state.0, "now": self.clock.now(), "wish": wish });
            writeln!(state.1, "{line}").unwrap();
        }
        // None comes when the other process has ended.
        let mut told = told.await.unwrap();
        match told.get("error") {
            Some(error) => Err(errors::read(error)),
            None => Ok(serde_json::from_value(told["answer"].take()).unwrap()),
        }
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twin").finish_non_exhaustive()
    }
}

fn transcript(mut told: Value) -> Transcript {
    Transcript {
        session: session(&mut told),
        entries: serde_json::from_value(told["entries"].take()).unwrap(),
        reset: told["reset"].as_bool().unwrap(),
        credential: None,
    }
}

fn session(told: &mut Value) -> Session {
    serde_json::from_value(told["session"].take()).unwrap()
}

#[async_trait]
impl SessionManager for Twin {
    fn backend(&self) -> String {
        "twin".to_owned()
    }

    async fn create(&self, new: NewSession) -> Result<Session, SessionError> {
        assert!(new.entries.is_empty(), "these are no part of the wire");
        self.ask(json!({ "verb": "create", "session": new })).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Session, SessionError> {
        self.ask(json!({ "verb": "get", "key": key })).await
    }

    async fn write(&self, key: &SessionKey, write: Write) -> Result<Written, SessionError> {
        let mut wish = match write.verb {
            Verb::Append(turn) => json!({ "verb": "append", "turn": turn }),
            Verb::Pop => json!({ "verb": "pop" }),
            Verb::Clear => json!({ "verb": "clear" }),
            Verb::Change(change) => json!({ "verb": "change", "change": change }),
            Verb::Attach { for_ms } => json!({ "verb": "attach", "for_ms": for_ms }),
            Verb::Detach => json!({ "verb": "detach" }),
            Verb::Touch => json!({ "verb": "touch" }),
        };
        (wish["key"], wish["guard"]) = (json!(key), json!(write.guard));
        let mut told: Value = self.ask(wish).await?;
        Ok(Written {
            session: session(&mut told),
            repeated: told["repeated"].as_bool().unwrap(),
        })
    }

    async fn read(&self, key: &SessionKey, range: Range) -> Result<Transcript, SessionError> {
        let wish = json!({ "verb": "read", "key": key, "range": range });
        Ok(transcript(self.ask(wish).await?))
    }

    async fn find_turn(&self, key: &SessionKey, name: &str) -> Result<Transcript, SessionError> {
        let wish = json!({ "verb": "find_turn", "key": key, "name": name });
        Ok(transcript(self.ask(wish).await?))
    }

    async fn list(&self, filter: &SessionFilter) -> Result<SessionPage, SessionError> {
        let mut told: Value = self
            .ask(json!({ "verb": "list", "filter": filter }))
            .await?;
        Ok(SessionPage {
            sessions: serde_json::from_value(told["sessions"].take()).unwrap(),
            next: serde_json::from_value(told["next"].take()).unwrap(),
        })
    }

    async fn count(&self, owner: Option<&str>) -> Result<u64, SessionError> {
        self.ask(json!({ "verb": "count", "owner": owner })).await
    }

    async fn delete(&self, key: &SessionKey, guard: Guard) -> Result<(), SessionError> {
        let wish = json!({ "verb": "delete", "key": key, "guard": guard });
        self.ask(wish).await
    }

    async fn clean_up(&self, idle: Duration) -> Result<usize, SessionError> {
        let idle = u64::try_from(idle.as_millis()).unwrap();
        self.ask(json!({ "verb": "clean_up", "idle_ms": idle }))
            .await
    }

    async fn put_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
        body: Bytes,
    ) -> Result<(), SessionError> {
        let body = body.to_vec();
        let wish =
            json!({ "verb": "put_file", "key": key, "guard": guard, "name": name, "body": body });
        self.ask(wish).await
    }

    async fn file(&self, key: &SessionKey, name: &str) -> Result<Bytes, SessionError> {
        let wish = json!({ "verb": "file", "key": key, "name": name });
        Ok(self.ask::<Vec<u8>>(wish).await?.into())
    }

    async fn files(&self, key: &SessionKey) -> Result<Vec<String>, SessionError> {
        self.ask(json!({ "verb": "files", "key": key })).await
    }

    async fn drop_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
    ) -> Result<bool, SessionError> {
        let wish = json!({ "verb": "drop_file", "key": key, "guard": guard, "name": name });
        self.ask(wish).await
    }

    async fn fork(&self, key: &SessionKey, id: Option<String>) -> Result<Session, SessionError> {
        self.ask(json!({ "verb": "fork", "key": key, "id": id }))
            .await
    }

    async fn export(&self, key: &SessionKey) -> Result<String, SessionError> {
        self.ask(json!({ "verb": "export", "key": key })).await
    }

    async fn import(
        &self,
        owner: &str,
        id: Option<String>,
        lines: &str,
    ) -> Result<Session, SessionError> {
        let wish = json!({ "verb": "import", "owner": owner, "id": id, "lines": lines });
        self.ask(wish).await
    }
}
