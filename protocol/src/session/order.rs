//! Every order that is wrong, as a documentation test that must not compile.
//!
//! A state has the methods of the steps that are allowed there, and no other. Each line of the tables below
//! names a state and the steps that it must not have: E0599 is a method that is not there. What takes a step
//! is spent by it: E0382 is the use of a value that was moved.
//!
//! The states' names are checked by this module itself, which uses them; the errors' codes by a nightly
//! toolchain, `cargo +nightly test --doc`.

macro_rules! there_is_no {
    ($side:ident: $($state:ident: $($method:ident)+;)+) => {$($(
        #[doc = concat!(
            "```compile_fail,E0599\n",
            "# use subrosa_protocol::session::", stringify!($side), "::*;\n",
            "fn wrong(mut state: ", stringify!($state), ") {\n",
            "    let _ = state.", stringify!($method), "();\n",
            "}\n",
            "```",
        )]
        const _: Option<super::$side::$state> = None;
    )+)+};
}

there_is_no! {
    worker:
    Offer: receive ready done fail event store cancel;
    AwaitOptions: options ready done fail event store;
    HasOptions: options receive done store;
    AwaitPayload: options ready done fail store;
    HasPayload: options receive ready store;
    AwaitStatus: options ready done fail event;
    AwaitAcknowledgement: options ready done fail event;
    Closure: options receive ready done fail event store cancel;
    Acknowledged: options receive ready done fail event store cancel;
    Cancelled: options receive ready done fail event store cancel;
}

there_is_no! {
    client:
    Launched: answer refuse receive close acknowledge event repeated cancel;
    OwesOptions: open_options receive close acknowledge;
    AwaitReady: open_options answer refuse close acknowledge;
    OwesPayload: open_options receive close acknowledge;
    AwaitDone: open_options answer refuse close acknowledge;
    OwesStatus: open_options answer receive acknowledge;
    OwesRefusal: open_options answer receive close acknowledge;
    OwesAcknowledgement: open_options answer refuse receive close;
    Refused: open_options answer refuse receive acknowledge event repeated cancel;
    Closed: open_options answer refuse receive close acknowledge event repeated cancel;
    AwaitCancelled: open_options answer refuse close acknowledge event repeated cancel;
    CancelTaken: open_options answer refuse receive close acknowledge event repeated cancel;
}

// A copy of a state would seal the same numbers once more.
there_is_no! {
    worker:
    Offer: clone;
    AwaitOptions: clone;
    HasOptions: clone;
    AwaitPayload: clone;
    HasPayload: clone;
    AwaitStatus: clone;
    AwaitAcknowledgement: clone;
    Cancelled: clone;
}

there_is_no! {
    client:
    Launched: clone;
    OwesOptions: clone;
    AwaitReady: clone;
    OwesPayload: clone;
    AwaitDone: clone;
    OwesStatus: clone;
    OwesRefusal: clone;
    OwesAcknowledgement: clone;
    AwaitCancelled: clone;
}

macro_rules! spent_by {
    ($side:ident: $($state:ident: $first:ident $first_arguments:tt $second:ident $second_arguments:tt;)+) => {$(
        #[doc = concat!(
            "```compile_fail,E0382\n",
            "# use subrosa_protocol::{session::", stringify!($side), "::*, wire::*};\n",
            "# use subrosa_protocol::{receipt::ReceiptError, session::worker::Issue};\n",
            "# const INBOX: &str = \"_INBOX.a\";\n",
            "# struct Given<'a> { bytes: Vec<u8>, error: ErrorMember, event: Event, issue: Issue<'a>,\n",
            "#     other: Issue<'a>, wrong: ReceiptError }\n",
            "fn spent(mut state: ", stringify!($state), ", given: Given<'_>) {\n",
            "    let Given { bytes, error, event, issue, other, wrong } = given;\n",
            "    let _ = state.", stringify!($first), stringify!($first_arguments), ";\n",
            "    let _ = state.", stringify!($second), stringify!($second_arguments), ";\n",
            "}\n",
            "```",
        )]
        const _: Option<super::$side::$state> = None;
    )+};
}

spent_by! {
    worker:
    Offer: options(Empty) options(Empty);
    AwaitOptions: receive(bytes.clone()) receive(bytes);
    HasOptions: ready(Empty) ready(Empty);
    HasOptions: ready(Empty) fail(error);
    HasOptions: ready(Empty) event(event);
    HasOptions: fail(error) ready(Empty);
    HasOptions: fail(error) event(event);
    HasOptions: fail(error.clone()) fail(error);
    AwaitPayload: receive(bytes.clone()) receive(bytes);
    AwaitPayload: receive(bytes) event(event);
    HasPayload: done(Empty, issue) done(Empty, other);
    HasPayload: done(Empty, issue) fail(error);
    HasPayload: done(Empty, issue) event(event);
    HasPayload: fail(error) done(Empty, issue);
    HasPayload: fail(error) event(event);
    HasPayload: fail(error.clone()) fail(error);
    AwaitStatus: receive(bytes.clone()) receive(bytes);
    AwaitAcknowledgement: receive(bytes.clone()) receive(bytes);
    AwaitOptions: cancel(bytes.clone()) receive(bytes);
    HasOptions: cancel(bytes) ready(Empty);
    HasOptions: cancel(bytes) event(event);
    AwaitPayload: cancel(bytes.clone()) receive(bytes);
    HasPayload: cancel(bytes) done(Empty, issue);
    HasPayload: cancel(bytes) fail(error);
    HasPayload: cancel(bytes) event(event);
    HasPayload: cancel(bytes.clone()) cancel(bytes);
    AwaitStatus: cancel(bytes.clone()) receive(bytes);
    AwaitAcknowledgement: cancel(bytes.clone()) receive(bytes);
}

spent_by! {
    client:
    OwesOptions: answer(Empty) answer(Empty);
    OwesOptions: answer(Empty) refuse(error);
    OwesOptions: refuse(error) answer(Empty);
    OwesOptions: refuse(error.clone()) refuse(error);
    AwaitReady: receive(bytes.clone(), INBOX) receive(bytes, INBOX);
    AwaitReady: receive(bytes.clone(), INBOX) event(bytes);
    OwesPayload: answer(Empty, None) answer(Empty, None);
    OwesPayload: answer(Empty, None) refuse(error);
    OwesPayload: refuse(error) answer(Empty, None);
    OwesPayload: refuse(error.clone()) refuse(error);
    AwaitDone: receive(bytes.clone(), INBOX) receive(bytes, INBOX);
    AwaitDone: receive(bytes.clone(), INBOX) event(bytes);
    OwesStatus: close([0; 32], Empty, 0) close([0; 32], Empty, 0);
    OwesStatus: close([0; 32], Empty, 0) refuse(error);
    OwesStatus: refuse(error) close([0; 32], Empty, 0);
    OwesStatus: refuse(error.clone()) refuse(error);
    OwesRefusal: refuse(&wrong) refuse(&wrong);
    OwesAcknowledgement: acknowledge(Empty, 0) acknowledge(Empty, 0);
    Refused: close(0) close(0);
    OwesOptions: cancel([0; 32]) answer(Empty);
    OwesOptions: cancel([0; 32]) cancel([0; 32]);
    AwaitReady: cancel([0; 32]) receive(bytes, INBOX);
    OwesPayload: cancel([0; 32]) answer(Empty, None);
    AwaitDone: cancel([0; 32]) receive(bytes, INBOX);
    AwaitDone: cancel([0; 32]) event(bytes);
    OwesStatus: cancel([0; 32]) close([0; 32], Empty, 0);
    OwesRefusal: cancel([0; 32]) refuse(&wrong);
    OwesAcknowledgement: cancel([0; 32]) acknowledge(Empty, 0);
    AwaitCancelled: receive(bytes.clone()) receive(bytes);
}
