//! The parties and the broker between them, and what each event does.

use std::collections::{HashSet, VecDeque};

use rand::{SeedableRng as _, rngs::StdRng};
use subrosa_protocol::{
    identity::Trust,
    wire::{
        Kind,
        seal_log::{self, Sealed},
    },
};

use super::{
    Tally,
    cast::{CAST, Identity, JobNumber, START_MS},
    client::{self, Answer, Client, Step, Verdict},
    event::{Act, Event, Target},
    invariants::{self, Delivery, Place},
    letter::{Address, Inbox, Letter, LetterId, Mail, Said, Sealer, SessionId, WorkerId, tampered},
    stored::Kept,
    worker::{self, Worker},
};

/// More workers than this are not started by events.
const MAX_WORKERS: usize = 8;
/// An answer goes to so many reply subjects at most.
const MAX_INBOXES: usize = 4;

/// A client's session, as it is known from outside.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) job: JobNumber,
    /// Whose options began it.
    pub(super) peer: WorkerId,
    /// What the client has taken in it, and what it has said.
    pub(super) heard: Vec<Said>,
    pub(super) said: Vec<Said>,
}

/// Everything there is.
pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) now_ms: u64,
    pub(super) stranger_is_trusted: bool,
    pub(super) clients: [Option<Client>; 3],
    pub(super) sessions: Vec<Session>,
    pub(super) workers: Vec<Worker>,
    pub(super) letters: Vec<Letter>,
    pub(super) under_way: VecDeque<Mail>,
    /// What workers have stored.
    pub(super) kept: Vec<Kept>,
    pub(super) sealed: HashSet<Sealed>,
    /// How many letters the invariants have seen.
    pub(super) read: usize,
    pub(super) tally: Tally,
}

impl World {
    pub(super) fn new(tally: Tally) -> Self {
        seal_log::start();
        Self {
            rng: StdRng::seed_from_u64(7),
            now_ms: START_MS,
            stranger_is_trusted: false,
            clients: [const { None }; 3],
            sessions: Vec::new(),
            workers: Vec::new(),
            letters: Vec::new(),
            under_way: VecDeque::new(),
            kept: Vec::new(),
            sealed: HashSet::new(),
            read: 0,
            tally,
        }
    }

    /// Does what the event says, if it can be done now.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Advance { job, steps } => {
                for _ in 0..steps {
                    self.advance(JobNumber::from_byte(job));
                }
            }
            Event::Deliver { mail } => {
                if let Some(mail) = self.choose_mail(mail).and_then(|at| self.under_way.remove(at)) {
                    self.arrive(mail);
                }
            }
            Event::Duplicate { mail } => {
                if let Some(at) = self.choose_mail(mail) {
                    self.arrive(self.under_way[at]);
                }
            }
            Event::Delay { mail } => {
                let mail = self.choose_mail(mail).and_then(|at| self.under_way.remove(at));
                self.under_way.extend(mail);
            }
            Event::Drop { mail } => {
                self.choose_mail(mail).and_then(|at| self.under_way.remove(at));
            }
            Event::Divert { mail, inbox } => self.divert(mail, inbox),
            Event::Inject { letter, tamper, target } => {
                if let (Some(letter), Some(other)) =
                    (self.choose_letter(letter), self.choose_letter(tamper.with()))
                {
                    let seen = &self.letters[letter.0].bytes;
                    let bytes = tampered(seen, tamper, &self.letters[other.0].bytes);
                    self.inject(target, Some(letter), bytes);
                }
            }
            Event::Junk { target, length, fill } => {
                self.inject(target, None, vec![fill; usize::from(length)]);
            }
            Event::Attempt { job, identity, number, large_first } => {
                self.attempt(JobNumber::from_byte(job), Identity::from_byte(identity), number, large_first);
            }
            Event::Resend { worker } => {
                if let Some(worker) = self.choose_worker(worker, Worker::waits) {
                    self.resend(worker);
                }
            }
            Event::ClientActs { job, act } => {
                let owing = |job: &JobNumber| self.clients[job.0].as_ref().is_some_and(Client::owes);
                let owing: Vec<_> = JobNumber::ALL.into_iter().filter(owing).collect();
                if let Some(at) = usize::from(job).checked_rem(owing.len()) {
                    self.client_acts(owing[at], act);
                }
            }
            Event::Cancel { job } => {
                let live = |job: &JobNumber| self.clients[job.0].as_ref().is_some_and(Client::is_live);
                let live: Vec<_> = JobNumber::ALL.into_iter().filter(live).collect();
                if let Some(at) = usize::from(job).checked_rem(live.len()) {
                    self.client_cancels(live[at]);
                }
            }
            Event::WorkerActs { worker, act } => {
                let can_act = if act == Act::Report { Worker::can_report } else { Worker::can_act };
                if let Some(worker) = self.choose_worker(worker, can_act) {
                    self.worker_acts(worker, act);
                }
            }
            Event::Store { worker } => {
                if let Some(worker) = self.choose_worker(worker, Worker::can_store) {
                    self.store(worker);
                }
            }
            Event::Fetch { ticket, kept, part, tamper } => self.fetch(ticket, kept, part, tamper),
            Event::RestartClient { job } => {
                let job = JobNumber::from_byte(job);
                self.clients[job.0] = Some(Client::new(job));
            }
            Event::CrashWorker { worker } => {
                if let Some(worker) = self.choose_worker(worker, |_| true) {
                    self.workers[worker.0].stage = worker::Stage::Crashed;
                }
            }
            Event::Trust => self.stranger_is_trusted = !self.stranger_is_trusted,
            Event::Wait { seconds } => self.now_ms += u64::from(seconds) * 1000,
        }
    }

    fn choose_mail(&self, number: u8) -> Option<usize> {
        usize::from(number).checked_rem(self.under_way.len())
    }

    fn choose_letter(&self, number: u8) -> Option<LetterId> {
        usize::from(number).checked_rem(self.letters.len()).map(LetterId)
    }

    fn choose_worker(&self, number: u8, fits: impl Fn(&Worker) -> bool) -> Option<WorkerId> {
        let fitting = self.workers.iter().enumerate().filter(|(_, worker)| fits(worker));
        let fitting: Vec<_> = fitting.map(|(at, _)| WorkerId(at)).collect();
        usize::from(number).checked_rem(fitting.len()).map(|at| fitting[at])
    }

    pub(super) fn client(&mut self, job: JobNumber) -> &mut Client {
        self.clients[job.0].get_or_insert_with(|| Client::new(job))
    }

    pub(super) fn trust(&self) -> &'static Trust {
        if self.stranger_is_trusted { &CAST.trust_all } else { &CAST.trust }
    }

    fn attempt(&mut self, job: JobNumber, identity: Identity, number: u8, large_first: bool) {
        // Mostly the next one; else any, also one that the job does not allow.
        let next = self.client(job).highest + 1;
        let attempt = if number & 4 == 0 { next } else { 1 + u16::from(number >> 3) % 5 };
        if self.workers.len() < MAX_WORKERS {
            let first = if large_first { Act::TooLarge } else { Act::Go };
            self.start(job, identity, attempt, first);
        }
    }

    /// A worker takes an attempt, and sends its options.
    pub(super) fn start(&mut self, job: JobNumber, identity: Identity, attempt: u16, first: Act) {
        let text = self.fresh_text();
        let taken = (job, identity, attempt);
        let (worker, said, envelope) = Worker::start(taken, first, &text, &mut self.rng);
        self.workers.push(worker);
        self.worker_sends(WorkerId(self.workers.len() - 1), said, envelope);
    }

    /// A text that occurs nowhere else.
    fn fresh_text(&self) -> String {
        format!("secret number {:04}", self.letters.len())
    }

    pub(super) fn worker_acts(&mut self, id: WorkerId, act: Act) {
        let text = self.fresh_text();
        if let Some((said, envelope)) = self.workers[id.0].act(act, &text) {
            self.worker_sends(id, said, envelope);
        }
    }

    fn worker_sends(&mut self, id: WorkerId, said: Said, bytes: Vec<u8>) {
        let letter = LetterId(self.letters.len());
        let worker = &mut self.workers[id.0];
        worker.said.push(said.clone());
        if said.kind != Kind::Event {
            worker.outstanding = Some(letter);
        }
        self.letters.push(Letter { bytes, sealer: Sealer::Worker(id), said });
        self.under_way.push_back(Mail { letter, to: self.addressee(letter) });
    }

    /// The worker sends the step that it waits on again, as the same bytes.
    pub(super) fn resend(&mut self, id: WorkerId) {
        let worker = &self.workers[id.0];
        if let Some(letter) = worker.outstanding.filter(|_| worker.waits()) {
            self.under_way.push_back(Mail { letter, to: self.addressee(letter) });
        }
    }

    pub(super) fn client_acts(&mut self, job: JobNumber, act: Act) {
        let (text, now_ms) = (self.fresh_text(), self.now_ms);
        let Some(Answer { said, envelope, to }) = self.client(job).act(act, &text, now_ms) else { return };
        let letter = LetterId(self.letters.len());
        let client = self.client(job);
        let session = client.session.expect("only a session answers");
        let step = client.step.as_mut().expect("there is something to answer");
        step.reply = Some(letter);
        let expected: Vec<_> = step.inboxes.iter().map(|inbox| inbox.subject()).collect();
        invariants::invariant_answers_go_where_the_step_came_from(&expected, &to);
        self.sessions[session.0].said.push(said.clone());
        self.letters.push(Letter { bytes: envelope, sealer: Sealer::Session(session), said });
        for subject in to {
            self.answer(letter, Inbox::parse(&subject));
        }
    }

    fn client_cancels(&mut self, job: JobNumber) {
        let now_ms = self.now_ms;
        let Some((said, bytes)) = self.client(job).cancel(now_ms) else { return };
        let letter = LetterId(self.letters.len());
        let session = self.client(job).session.expect("only a session is cancelled over it");
        self.sessions[session.0].said.push(said.clone());
        self.letters.push(Letter { bytes, sealer: Sealer::Session(session), said });
        self.under_way.push_back(Mail { letter, to: self.addressee(letter) });
    }

    /// The client sends its `cancel` again, as the same bytes; false if it has no need to.
    pub(super) fn resend_cancel(&mut self, job: JobNumber) -> bool {
        let client = self.client(job);
        let Some(session) = client.session.filter(|_| matches!(client.stage, client::Stage::Cancelling(_)))
        else {
            return false;
        };
        let is_it =
            |letter: &Letter| letter.sealer == Sealer::Session(session) && letter.said.kind == Kind::Cancel;
        let letter = LetterId(self.letters.iter().position(is_it).expect("it was sent"));
        self.under_way.push_back(Mail { letter, to: self.addressee(letter) });
        true
    }

    fn answer(&mut self, letter: LetterId, inbox: Inbox) {
        if let Inbox::Worker(_) = inbox {
            self.under_way.push_back(Mail { letter, to: Address::Inbox(inbox) });
        }
    }

    /// Where the letter's sealer means it to go.
    pub(super) fn addressee(&self, letter: LetterId) -> Address {
        let letter = &self.letters[letter.0];
        match letter.sealer {
            Sealer::Worker(id) => {
                let job = self.workers[id.0].job;
                match letter.said.kind {
                    Kind::CancelReply => Address::Canceller(job),
                    kind => Address::Client { job, kind, inbox: Inbox::Worker(id) },
                }
            }
            Sealer::Session(id) if letter.said.kind == Kind::Cancel => {
                Address::Control(self.sessions[id.0].peer)
            }
            Sealer::Session(id) => Address::Inbox(Inbox::Worker(self.sessions[id.0].peer)),
        }
    }

    fn sender(&self, letter: LetterId) -> Address {
        match self.letters[letter.0].sealer {
            Sealer::Worker(id) => Address::Inbox(Inbox::Worker(id)),
            Sealer::Session(id) => {
                let job = self.sessions[id.0].job;
                Address::Client { job, kind: Kind::Ready, inbox: Inbox::Elsewhere }
            }
        }
    }

    fn inbox(&self, number: u8) -> Inbox {
        let worker = self.choose_worker(number >> 1, |_| true).filter(|_| number & 1 == 1);
        worker.map_or(Inbox::Elsewhere, Inbox::Worker)
    }

    fn divert(&mut self, mail: u8, inbox: u8) {
        let inbox = self.inbox(inbox);
        if let Some(at) = self.choose_mail(mail)
            && let Mail { letter, to: Address::Client { job, kind, .. } } = self.under_way[at]
        {
            self.arrive(Mail { letter, to: Address::Client { job, kind, inbox } });
        }
    }

    fn inject(&mut self, target: Target, letter: Option<LetterId>, bytes: Vec<u8>) {
        let to = match (target, letter) {
            (Target::Addressee, Some(letter)) => self.addressee(letter),
            (Target::Sender, Some(letter)) => self.sender(letter),
            (Target::Client { job, kind, inbox }, _) => {
                Address::Client { job: JobNumber::from_byte(job), kind, inbox: self.inbox(inbox) }
            }
            (Target::Worker { worker }, _) => match self.choose_worker(worker, |_| true) {
                Some(worker) => Address::Inbox(Inbox::Worker(worker)),
                None => return,
            },
            (Target::Control { worker }, _) => match self.choose_worker(worker, |_| true) {
                Some(worker) => Address::Control(worker),
                None => return,
            },
            (Target::Canceller { job }, _) => Address::Canceller(JobNumber::from_byte(job)),
            (Target::Addressee | Target::Sender, None) => {
                Address::Client { job: JobNumber(0), kind: Kind::Done, inbox: Inbox::Elsewhere }
            }
        };
        self.deliver(to, bytes);
    }

    pub(super) fn arrive(&mut self, Mail { letter, to }: Mail) {
        self.deliver(to, self.letters[letter.0].bytes.clone());
    }

    fn deliver(&mut self, to: Address, bytes: Vec<u8>) {
        // Slow enough not to meet the limit on openings, which has tests of its own.
        self.now_ms += 250;
        let letter = self.letters.iter().position(|letter| letter.bytes == bytes).map(LetterId);
        match to {
            Address::Client { job, kind, inbox } => self.deliver_to_client(job, kind, inbox, bytes, letter),
            Address::Inbox(Inbox::Worker(id)) => self.deliver_to_worker(id, bytes, letter),
            Address::Inbox(Inbox::Elsewhere) => {}
            Address::Control(id) => self.deliver_to_control(id, bytes, letter),
            Address::Canceller(job) => self.deliver_to_canceller(job, bytes, letter),
        }
    }

    fn deliver_to_client(
        &mut self,
        job: JobNumber,
        kind: Kind,
        inbox: Inbox,
        bytes: Vec<u8>,
        letter: Option<LetterId>,
    ) {
        self.client(job);
        let place = Place::Client(job);
        let (expected, before) = (self.expected_at_client(job, kind, letter), self.snapshot(place));
        let (trust, now_ms) = (self.trust(), self.now_ms);
        let client = self.clients[job.0].as_mut().expect("it was made above");
        let verdict = client.receive(kind, bytes, &inbox.subject(), trust, &mut self.rng, now_ms);
        self.tally.count(&verdict);
        let after = self.snapshot(place);
        invariants::check_delivery(&Delivery { place, before, after, expected, verdict: &verdict });
        match (verdict, letter) {
            (Verdict::Taken(said), Some(letter)) => self.client_took(job, letter, inbox, said),
            (Verdict::Unproven, Some(letter)) => {
                self.client(job).step = Some(Step { letter, inboxes: vec![inbox], reply: None });
            }
            (Verdict::Pending, _) => {
                if let Some(step) = &mut self.client(job).step
                    && !step.inboxes.contains(&inbox)
                {
                    step.inboxes.push(inbox);
                    let more = step.inboxes.len().saturating_sub(MAX_INBOXES);
                    step.inboxes.drain(..more);
                }
            }
            (Verdict::Answered(_), _) => {
                let reply = self.client(job).step.as_ref().and_then(|step| step.reply);
                self.answer(reply.expect("it was answered before"), inbox);
            }
            _ => {}
        }
    }

    fn client_took(&mut self, job: JobNumber, letter: LetterId, inbox: Inbox, said: Said) {
        if said.kind == Kind::Options
            && let Sealer::Worker(peer) = self.letters[letter.0].sealer
        {
            self.sessions.push(Session { job, peer, heard: Vec::new(), said: Vec::new() });
            let (id, attempt) = (SessionId(self.sessions.len() - 1), self.workers[peer.0].attempt);
            let client = self.client(job);
            (client.session, client.highest, client.last_event) = (Some(id), attempt, None);
        }
        let client = self.client(job);
        if said.kind == Kind::Event {
            client.last_event = Some(letter);
        } else {
            client.step = Some(Step { letter, inboxes: vec![inbox], reply: None });
        }
        let session = client.session.expect("it was taken in one");
        self.sessions[session.0].heard.push(said);
    }

    fn deliver_to_worker(&mut self, id: WorkerId, bytes: Vec<u8>, letter: Option<LetterId>) {
        let place = Place::Worker(id);
        let (expected, before) = (self.expected_at_worker(id, letter), self.snapshot(place));
        let verdict = self.workers[id.0].receive(bytes);
        self.tally.count(&verdict);
        let after = self.snapshot(place);
        invariants::check_delivery(&Delivery { place, before, after, expected, verdict: &verdict });
        let worker = &mut self.workers[id.0];
        if let Verdict::Taken(said) = verdict {
            if let (Kind::OptionsReply, Some(Sealer::Session(session))) =
                (said.kind, letter.map(|letter| self.letters[letter.0].sealer))
            {
                worker.bound = Some(session);
            }
            worker.heard.push(said);
        }
    }

    fn deliver_to_control(&mut self, id: WorkerId, bytes: Vec<u8>, letter: Option<LetterId>) {
        let place = Place::Worker(id);
        let (expected, before) = (self.expected_at_control(id, letter), self.snapshot(place));
        let verdict = self.workers[id.0].control(bytes);
        self.tally.count(&verdict);
        let after = self.snapshot(place);
        invariants::check_delivery(&Delivery { place, before, after, expected, verdict: &verdict });
        match (verdict, letter.map(|letter| self.letters[letter.0].sealer)) {
            (Verdict::Taken(said), Some(Sealer::Session(session))) => {
                let text = self.fresh_text();
                let worker = &mut self.workers[id.0];
                worker.bound = Some(session);
                worker.heard.push(said);
                let reply = worker.cancel_reply().expect("it has taken it").to_vec();
                self.worker_sends(id, Said { kind: Kind::CancelReply, text, is_error: false }, reply);
            }
            (Verdict::Answered(reply), _) => {
                let sent = self.letters.iter().position(|letter| letter.bytes == reply);
                let letter = LetterId(sent.expect("it was sent before"));
                self.under_way.push_back(Mail { letter, to: self.addressee(letter) });
            }
            _ => {}
        }
    }

    fn deliver_to_canceller(&mut self, job: JobNumber, bytes: Vec<u8>, letter: Option<LetterId>) {
        self.client(job);
        let place = Place::Client(job);
        let (expected, before) = (self.expected_at_canceller(job, letter), self.snapshot(place));
        let verdict = self.client(job).receive_cancelled(bytes);
        self.tally.count(&verdict);
        let after = self.snapshot(place);
        invariants::check_delivery(&Delivery { place, before, after, expected, verdict: &verdict });
    }

    pub(super) fn is_over(&self, job: JobNumber) -> bool {
        let over = |client: &Client| matches!(client.stage, client::Stage::Over(_));
        self.clients[job.0].as_ref().is_some_and(|client| over(client) || client.has_cancelled())
    }
}
