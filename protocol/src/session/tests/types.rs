//! What states print, and that they can be sent between threads.

use super::*;
use crate::session::{client, worker};

fn name(state: &impl std::fmt::Debug) -> String {
    assert_eq!(format!("{state:?}"), format!("{state:#?}"));
    format!("{state:?}")
}

#[test]
fn states_print_their_names_only() {
    let mut world = World::new(70);
    assert_eq!(name(&world.client()), "Launched");
    assert_eq!(name(&world.offer(1)), "Offer");
    let run = until_options(&mut world);
    assert_eq!((name(&run.client), name(&run.worker)), ("OwesOptions".into(), "AwaitOptions".into()));
    let run = until_has_options(&mut world);
    assert_eq!((name(&run.client), name(&run.worker)), ("AwaitReady".into(), "HasOptions".into()));
    let run = until_ready(&mut world);
    assert_eq!((name(&run.client), name(&run.worker)), ("OwesPayload".into(), "AwaitPayload".into()));
    let refused = run.client.refuse(error()).unwrap().next;
    assert_eq!(name(&refused), "Refused");
    assert_eq!(name(&refused.close(NOW_MS)), "Closed");
    let run = until_has_payload(&mut world);
    assert_eq!((name(&run.client), name(&run.worker)), ("AwaitDone".into(), "HasPayload".into()));
    let sent = run.worker.fail(error()).unwrap();
    assert_eq!(name(&sent.next), "AwaitAcknowledgement");
    let Done::Failed(failure) = run.client.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    assert_eq!(name(&failure.session), "OwesAcknowledgement");
    let cancel = until_has_payload(&mut world);
    let sealed = cancel.client.cancel(CANCEL).unwrap();
    assert_eq!(name(&sealed.next), "AwaitCancelled");
    assert_eq!(name(&cancel.worker.cancel(sealed.envelope).unwrap()), "Cancelled");
    let run = until_done(&mut world);
    assert_eq!((name(&run.client), name(&run.worker)), ("OwesStatus".into(), "AwaitStatus".into()));
}

#[test]
fn states_go_between_threads() {
    fn goes<T: Send + Sync + 'static>() {}
    goes::<Launched>();
    goes::<OwesOptions>();
    goes::<AwaitReady>();
    goes::<OwesPayload>();
    goes::<AwaitDone>();
    goes::<OwesStatus>();
    goes::<client::OwesAcknowledgement>();
    goes::<client::Refused>();
    goes::<client::Closed>();
    goes::<client::AwaitCancelled>();
    goes::<worker::Cancelled>();
    goes::<Offer>();
    goes::<AwaitOptions>();
    goes::<HasOptions>();
    goes::<AwaitPayload>();
    goes::<HasPayload>();
    goes::<AwaitStatus>();
    goes::<worker::AwaitAcknowledgement>();
}
