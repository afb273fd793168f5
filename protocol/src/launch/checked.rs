//! What whoever gets a job from the queue finds out about its launch request: worker and launcher alike.

use std::sync::OnceLock;

use super::{LaunchRequest, Signers};
use crate::{
    id::{JobId, WorkerName},
    identity::Trust,
    job::Job,
    policy::{Policy, TooFew},
    refusal::Code,
    subject::Namespace,
};

/// A launch request that was delivered as a job, and what can be said against it.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{hpke::RecipientKey, id::Sha256Hash, job::*, launch::LaunchRequest};
/// # use subrosa_protocol::{identity::{SigningKey, Trust}, refusal::Code, subject::Namespace};
/// use subrosa_protocol::{launch::Checked, policy::Policy};
/// # let (namespace, mut rng) = (Namespace::default(), UnwrapErr(SysRng));
/// # let [alice, bob] = [(); 2].map(|()| SigningKey::generate(&mut rng));
/// # let job = Job::new(Description {
/// #     worker: "echo".parse()?, client: None, label: None,
/// #     client_key: *RecipientKey::generate(&mut rng).public(), psk_id: None,
/// #     reply: namespace.reply("AliceAliceAlice01")?, created_ms: 1, expires_ms: 2,
/// #     timeout_ms: 1, max_attempts: 1, cancel: Sha256Hash([0; 32]), close: Sha256Hash([0; 32]), input: None,
/// # })?;
/// # let (id, name) = (*job.id(), "echo".parse()?);
///
/// let bytes = LaunchRequest::new(job, &[&alice, &alice])?.bytes().to_vec();
/// let checked = Checked::new(&bytes, &id, &name, &namespace);
/// let two = Policy::at_least(2, [alice.thumbprint(), bob.thumbprint()])?;
/// assert_eq!(checked.check(&two, &Trust::default()), Err(Code::Unauthorized)); // one key, signing twice
/// assert_eq!(checked.check(&Policy::anyone(), &Trust::default()), Ok(None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Checked {
    is_the_job: bool,
    request: Result<LaunchRequest, Code>,
    /// Found out once it matters: signatures take more time than everything else.
    signers: OnceLock<Result<Signers, Code>>,
}

impl Checked {
    /// Reads what was delivered as `job` of the worker `name`.
    pub fn new(bytes: &[u8], job: &JobId, name: &WorkerName, namespace: &Namespace) -> Self {
        let (is_the_job, request) = match LaunchRequest::parse(bytes, namespace) {
            Ok(request) if request.job().id() == job && request.job().worker() == name => (true, Ok(request)),
            Ok(_) => (false, Err(Code::BadRequest)),
            Err(error) => (LaunchRequest::job_id(bytes).as_ref() == Some(job), Err(error.code())),
        };
        Self { is_the_job, request, signers: OnceLock::new() }
    }

    /// Whether it is the job that was asked for, be it acceptable or not.
    pub fn is_the_job(&self) -> bool {
        self.is_the_job
    }

    /// The request.
    ///
    /// # Errors
    ///
    /// The code of what is wrong with its shape, or of another job's request.
    pub fn request(&self) -> Result<&LaunchRequest, Code> {
        self.request.as_ref().map_err(|code| *code)
    }

    /// The job, if the request is one for it.
    pub fn job(&self) -> Option<&Job> {
        self.request().ok().map(LaunchRequest::job)
    }

    fn signers(&self) -> Result<&Signers, Code> {
        let verify = || self.request()?.verify().map_err(|error| error.code());
        self.signers.get_or_init(verify).as_ref().map_err(|code| *code)
    }

    /// Checks shape, signatures and policy, as policy and revocations are now. What it returns is to be
    /// logged; see [`Policy::check`].
    ///
    /// # Errors
    ///
    /// The code that the request is refused with.
    pub fn check(&self, policy: &Policy, trust: &Trust) -> Result<Option<TooFew>, Code> {
        let (request, signers) = (self.request()?, self.signers()?);
        policy.check(request.job(), signers, trust).map_err(|error| error.code())
    }

    /// The request and who has signed it, once it has been checked and the job is taken.
    ///
    /// # Errors
    ///
    /// As for [`Checked::check`], but for the policy: what it says later than the taking is too late.
    pub fn into_signed(self) -> Result<(LaunchRequest, Signers), Code> {
        let signers = self.signers()?.clone();
        Ok((self.request?, signers))
    }
}
