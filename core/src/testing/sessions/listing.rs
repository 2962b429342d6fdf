//! Lists and counts.

use std::time::Duration;

use super::{Store, code, key};
use crate::session::{Guard, NewSession, SessionFilter, SharedSessions};

async fn ids(sessions: &SharedSessions, filter: SessionFilter) -> Vec<String> {
    let mut ids = Vec::new();
    let mut filter = filter;
    loop {
        let page = sessions.list(&filter).await.unwrap();
        assert!(page.sessions.len() <= filter.limit.unwrap_or(100));
        ids.extend(page.sessions.iter().map(|s| s.key.id().to_owned()));
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return ids,
        }
    }
}

pub(super) async fn sessions_are_listed_by_last_use_and_page(store: Store) {
    for id in ["a", "b", "c", "d", "e"] {
        let new = NewSession::of("ann").with_id(id);
        store.one.create(new).await.unwrap();
        store.clock.advance(Duration::from_millis(1));
    }
    store
        .one
        .touch(&key("ann", "b"), Guard::default())
        .await
        .unwrap();
    let filter = |limit| SessionFilter {
        limit: Some(limit),
        ..SessionFilter::of("ann")
    };
    for limit in [1, 2, 5, 100] {
        let found = ids(&store.another, filter(limit)).await;
        assert_eq!(found, ["b", "e", "d", "c", "a"], "by {limit}");
    }
    let mut bad = filter(1);
    bad.after = Some("no mark".to_owned());
    assert_eq!(code(store.one.list(&bad).await), "invalid_session");
}

pub(super) async fn sessions_of_one_moment_are_paged_without_gaps(store: Store) {
    const COUNT: usize = 1_200;
    for n in 0..COUNT {
        let new = NewSession::of("ann").with_id(format!("{n:04}"));
        store.one.create(new).await.unwrap();
    }
    let filter = SessionFilter {
        limit: Some(70),
        ..SessionFilter::of("ann")
    };
    let found = ids(&store.another, filter).await;
    let wanted: Vec<_> = (0..COUNT).rev().map(|n| format!("{n:04}")).collect();
    assert_eq!(found, wanted);
    assert_eq!(
        store.another.count(Some("ann")).await.unwrap(),
        COUNT as u64
    );
}

pub(super) async fn owners_and_tags_narrow_a_list(store: Store) {
    for (owner, id, tag) in [
        ("ann", "1", "x"),
        ("bob", "2", "y"),
        ("ann", "3", "y"),
        ("cid", "4", "x"),
    ] {
        let new = NewSession::of(owner).with_id(id);
        let new = new.with(|new| new.tags = vec![tag.into()]);
        store.one.create(new).await.unwrap();
        store.clock.advance(Duration::from_millis(1));
    }
    let all = |limit| SessionFilter {
        limit: Some(limit),
        ..SessionFilter::default()
    };
    for limit in [1, 2, 10] {
        let found = ids(&store.another, all(limit)).await;
        assert_eq!(found, ["3", "1", "2", "4"], "owner by owner");
    }
    let tagged = |owner: Option<&str>, tag: &str| SessionFilter {
        owner: owner.map(str::to_owned),
        tag: Some(tag.to_owned()),
        limit: Some(1),
        after: None,
    };
    assert_eq!(ids(&store.one, tagged(None, "x")).await, ["1", "4"]);
    assert_eq!(ids(&store.one, tagged(Some("ann"), "y")).await, ["3"]);
    assert!(ids(&store.one, tagged(Some("dan"), "y")).await.is_empty());
    assert_eq!(store.one.count(None).await.unwrap(), 4);
    assert_eq!(store.one.count(Some("ann")).await.unwrap(), 2);
    assert_eq!(store.one.count(Some("dan")).await.unwrap(), 0);
}
