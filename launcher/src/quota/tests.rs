use subrosa_protocol::{
    hpke::RecipientKey,
    id::Sha256Hash,
    identity::SigningKey,
    job::{Description, Job},
    record::Reason,
    subject::Namespace,
};

use super::*;

const NOW_MS: u64 = 1_000_000;

fn key() -> SigningKey {
    SigningKey::generate(&mut rand::rng())
}

fn request(owner: Option<&SigningKey>, signers: &[&SigningKey]) -> LaunchRequest {
    let job = Job::new(Description {
        worker: "echo".parse().unwrap(),
        client: owner.map(SigningKey::thumbprint),
        label: None,
        client_key: *RecipientKey::generate(&mut rand::rng()).public(),
        psk_id: None,
        reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
        created_ms: NOW_MS,
        expires_ms: NOW_MS + 1,
        timeout_ms: 3,
        max_attempts: 4,
        cancel: Sha256Hash::of("cancel"),
        close: Sha256Hash::of("close"),
        input: None,
    });
    LaunchRequest::new(job.unwrap(), signers).unwrap()
}

fn quota(limits: impl FnOnce(&mut config::Quota)) -> Quota {
    let mut quota = config::Quota::default();
    limits(&mut quota);
    Quota::new(quota)
}

fn reserve(quota: &Quota, request: &LaunchRequest) -> Result<Reserved, &'static str> {
    quota.reserve(request, &request.verify().unwrap(), NOW_MS).map_err(|over| over.limit)
}

/// Lets a record of the job pass by.
fn pass(quota: &Quota, request: &LaunchRequest, event: Event) -> bool {
    let attempt = 0;
    let record = Record { job: *request.job().id(), at_ms: NOW_MS, attempt, prev: None, event };
    let last = Last::Known(Snapshot::new(Sha256Hash::of("record"), &record));
    let begun = matches!(record.event, Event::Queued { .. }).then_some(request);
    quota.see(&(request.job().worker().clone(), record.job), &last, &record, begun)
}

fn queued(request: &LaunchRequest) -> Event {
    Event::Queued { request: request.bytes().to_vec() }
}

fn failed() -> Event {
    Event::Failed(Reason::new("test", ""))
}

#[test]
fn each_limit_counts_its_own_and_names_itself() {
    let (ann, bob) = (key(), key());
    for (limits, own, other, limit) in [
        (
            config::Quota { open_per_signer: Some(1), ..config::Quota::default() },
            request(None, &[&ann, &bob]),
            request(None, &[]),
            "open_per_signer",
        ),
        (
            config::Quota { open_per_client: Some(1), ..config::Quota::default() },
            request(Some(&bob), &[&bob]),
            request(Some(&ann), &[&ann, &bob]),
            "open_per_client",
        ),
        (
            config::Quota { open_anonymous: Some(1), ..config::Quota::default() },
            request(None, &[&bob]),
            request(Some(&bob), &[&bob]),
            "open_anonymous",
        ),
        (
            config::Quota { open_unsigned: Some(1), ..config::Quota::default() },
            request(None, &[]),
            request(None, &[&bob]),
            "open_unsigned",
        ),
        (
            config::Quota { launches_per_minute: Some(1), ..config::Quota::default() },
            request(None, &[&bob]),
            request(None, &[&ann]),
            "launches_per_minute",
        ),
    ] {
        let quota = Quota::new(limits);
        reserve(&quota, &own).unwrap().keep();
        reserve(&quota, &own).unwrap().keep(); // The same job again.
        let again = match own.job().description().client {
            Some(_) => request(Some(&bob), &[&bob]),
            None if own.verify().unwrap().is_empty() => request(None, &[]),
            None => request(None, &[&bob]),
        };
        assert_eq!(reserve(&quota, &again).unwrap_err(), limit);
        reserve(&quota, &other).unwrap().keep();
    }
    let quota = quota(|limits| limits.open = Some(1));
    let _first = reserve(&quota, &request(None, &[])).unwrap();
    assert_eq!(reserve(&quota, &request(None, &[&ann])).unwrap_err(), "open");
}

#[test]
fn what_ends_gives_its_place_back() {
    let bob = key();
    let quota = quota(|limits| limits.open_per_signer = Some(1));
    for end in [failed(), Event::Finished] {
        let first = request(None, &[&bob]);
        reserve(&quota, &first).unwrap().keep();
        assert!(!pass(&quota, &first, queued(&first)));
        assert!(reserve(&quota, &request(None, &[&bob])).is_err());
        assert!(!pass(&quota, &first, end));
        drop(reserve(&quota, &request(None, &[&bob])).unwrap());
    }
    assert!(quota.lock().places.is_empty() && quota.lock().open.is_empty());
}

#[test]
fn a_place_that_is_not_used_is_given_back_unless_another_launcher_came_first() {
    let bob = key();
    let quota = quota(|limits| (limits.open, limits.launches_per_minute) = (Some(1), Some(1)));
    drop(reserve(&quota, &request(None, &[&bob])).unwrap());
    let job = request(None, &[&bob]);
    let reserved = reserve(&quota, &job).unwrap();
    assert!(!pass(&quota, &job, queued(&job)));
    drop(reserved);
    assert_eq!(reserve(&quota, &request(None, &[&bob])).unwrap_err(), "open");
    pass(&quota, &job, failed());
    assert_eq!(reserve(&quota, &request(None, &[&bob])).unwrap_err(), "launches_per_minute");
    quota.prune(NOW_MS + 60_000);
    reserve(&quota, &request(None, &[&bob])).unwrap().keep();
}

#[test]
fn following_anew_counts_what_is_there_and_nothing_else() {
    let quota = quota(|limits| limits.open = Some(2));
    let (gone, stays) = (request(None, &[]), request(None, &[]));
    for job in [&gone, &stays] {
        assert!(!pass(&quota, job, queued(job)));
    }
    quota.begin();
    let own = request(None, &[]);
    assert!(reserve(&quota, &own).is_err(), "until then what was seen counts");
    assert!(!pass(&quota, &stays, queued(&stays)));
    quota.caught_up();
    reserve(&quota, &own).unwrap().keep();
    assert!(reserve(&quota, &request(None, &[])).is_err());
    let instance = subrosa_protocol::id::Instance::random(&mut rand::rng());
    assert!(pass(&quota, &gone, Event::Taken { instance }), "whose it is has to be read");
}

#[test]
fn nothing_is_admitted_before_everything_is_counted() {
    Quota::new(config::Quota::default()).ready().unwrap();
    let quota = quota(|limits| limits.open = Some(2));
    assert_eq!(Refused::from(quota.ready().unwrap_err()).code, Code::Overloaded);
    quota.begin();
    quota.caught_up();
    quota.ready().unwrap();
}
