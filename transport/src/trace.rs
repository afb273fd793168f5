//! W3C trace context in the headers of messages: which trace a message belongs to, for those who trace.
//!
//! Nobody has to send it, nobody has to read it, and nothing is decided by it. It comes from anyone, so that it is
//! read strictly, and links in a trace no more than the broker can link by the job's id anyway.
//!
//! Whoever wants traces installs a [`Propagate`], once per process; spans are those of `tracing`, of the target
//! [`TARGET`] and the level *debug*. Without one, what came with a message goes on with what follows from it.

use std::{fmt, sync::OnceLock};

use async_nats::HeaderMap;
use tracing::{Instrument as _, Span};

/// The target of all spans that make up a trace.
pub const TARGET: &str = "subrosa::trace";

/// The longest `tracestate`, in bytes: more need not be passed on (W3C Trace Context, section 3.3.1.5).
const STATE_BYTES: usize = 512;
/// The most members of one (section 3.3.1.1).
const STATE_MEMBERS: usize = 32;

/// Which trace something belongs to, and what its parent in there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: String,
    tracestate: Option<String>,
}

impl TraceContext {
    /// Reads the two headers' values. None if the first is not one of version 00 to the letter; the second is left
    /// out if it is not as it should be.
    ///
    /// ```
    /// use subrosa_transport::trace::TraceContext;
    ///
    /// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let context = TraceContext::parse(parent, Some("vendor=1")).unwrap();
    /// assert_eq!((context.traceparent(), context.tracestate()), (parent, Some("vendor=1")));
    /// assert_eq!(TraceContext::parse("00-0-0-00", None), None);
    /// ```
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let fields: Vec<&str> = traceparent.split('-').collect();
        let [version, trace, parent, flags] = fields.as_slice() else { return None };
        let hex = |field: &str, length: usize| {
            field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_id = |field: &str, length| hex(field, length) && field.bytes().any(|byte| byte != b'0');
        let is_good = *version == "00" && is_id(trace, 32) && is_id(parent, 16) && hex(flags, 2);
        let tracestate = tracestate.filter(|state| is_state(state)).map(str::to_owned);
        is_good.then(|| Self { traceparent: traceparent.to_owned(), tracestate })
    }

    /// Reads the headers of a message; none if one of them stands twice.
    pub fn read(headers: Option<&HeaderMap>) -> Option<Self> {
        let one = |name: &str| {
            let mut values = headers?.get_all(name);
            values.next().filter(|_| values.next().is_none()).map(|value| value.as_str())
        };
        Self::parse(one("traceparent")?, one("tracestate"))
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The header `tracestate`.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", self.traceparent());
        if let Some(state) = self.tracestate() {
            headers.insert("tracestate", state);
        }
        headers
    }
}

/// Whether this may be passed on as `tracestate`: `key=value` pairs with commas between them.
fn is_state(state: &str) -> bool {
    let is_member = |member: &str| {
        let Some((key, value)) = member.trim_matches([' ', '\t']).split_once('=') else { return false };
        let is_key = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
        let is_value = |byte| matches!(byte, b' '..=b'~') && byte != b'=';
        !key.is_empty() && key.bytes().all(is_key) && !value.is_empty() && value.bytes().all(is_value)
    };
    state.len() <= STATE_BYTES && state.split(',').count() <= STATE_MEMBERS && state.split(',').all(is_member)
}

/// Knows how spans become parts of traces.
pub trait Propagate: Send + Sync {
    /// Which trace the current span belongs to, if it belongs to one.
    fn current(&self) -> Option<TraceContext>;

    /// Makes a span that was not entered yet part of the trace that a message came with.
    fn adopt(&self, span: &Span, came: &TraceContext);

    /// Adds a span that began at this time, in Unix milliseconds, and ends now.
    fn past(&self, name: &'static str, came: Option<&TraceContext>, began_ms: u64);
}

static PROPAGATE: OnceLock<Box<dyn Propagate>> = OnceLock::new();

tokio::task_local! {
    /// What came with the message that is dealt with.
    static CAME: Option<TraceContext>;
}

/// Traces by this from now on. False if something else was installed before, which stays.
pub fn propagate_by(propagate: impl Propagate + 'static) -> bool {
    PROPAGATE.set(Box::new(propagate)).is_ok()
}

/// Which trace what is sent now belongs to: that of the current span, or else that of the message which is dealt
/// with.
pub fn current() -> Option<TraceContext> {
    let traced = PROPAGATE.get().and_then(|propagate| propagate.current());
    traced.or_else(|| CAME.try_with(Clone::clone).ok().flatten())
}

/// The headers of what is sent now.
pub fn headers() -> Option<HeaderMap> {
    current().map(|context| context.headers())
}

/// Deals with what came with this context, in this span.
pub async fn within<T>(came: Option<TraceContext>, span: Span, work: impl Future<Output = T>) -> T {
    if let (Some(propagate), Some(came)) = (PROPAGATE.get(), &came) {
        propagate.adopt(&span, came);
    }
    CAME.scope(came, work.instrument(span)).await
}

/// The same work for another task: it stays in the current span, and in its trace.
pub fn carry<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    CAME.scope(CAME.try_with(Clone::clone).ok().flatten(), work.in_current_span())
}

/// Says that something began at this time, in Unix milliseconds, and ends now.
pub fn past(name: &'static str, began_ms: u64) {
    if let Some(propagate) = PROPAGATE.get() {
        let came = CAME.try_with(Clone::clone).ok().flatten();
        propagate.past(name, came.as_ref(), began_ms);
    }
}

impl fmt::Debug for dyn Propagate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Propagate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_version_00_is_read_and_only_to_the_letter() {
        assert!(TraceContext::parse(PARENT, None).is_some());
        for bad in [
            String::new(),
            PARENT.to_uppercase(),
            format!("{PARENT}-more"),
            format!("{PARENT} "),
            PARENT.replacen("00", "01", 1),
            PARENT.replacen("00", "ff", 1),
            PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            PARENT.replace("4bf9", "4bf"),
            PARENT.replace('-', "."),
            PARENT.repeat(1000),
        ] {
            assert_eq!(TraceContext::parse(&bad, None), None, "{bad}");
        }
    }

    #[test]
    fn a_bad_state_is_left_out_and_the_rest_stays() {
        let state = |state: &str| TraceContext::parse(PARENT, Some(state)).unwrap().tracestate.is_some();
        for good in ["a=1", "a=1,b=2", "tenant@vendor=x y", "a=1 , b=2"] {
            assert!(state(good), "{good}");
        }
        let many = vec!["a=1"; 33].join(",");
        let long = format!("a={}", "x".repeat(511));
        for bad in ["", "a", "=1", "a=", "A=1", "a=1,", "a=\u{e4}", "a=1\r\nb: 2", "a=b=c", &many, &long] {
            assert!(!state(bad), "{bad}");
        }
    }

    #[test]
    fn what_stands_twice_is_not_read() {
        let mut headers = TraceContext::parse(PARENT, Some("a=1")).unwrap().headers();
        assert_eq!(TraceContext::read(Some(&headers)).unwrap().tracestate(), Some("a=1"));
        headers.append("traceparent", PARENT);
        assert_eq!(TraceContext::read(Some(&headers)), None);
        assert_eq!(TraceContext::read(None), None);
    }

    #[tokio::test]
    async fn what_came_goes_on_with_what_follows_on_other_tasks_too() {
        assert_eq!(current(), None);
        let came = TraceContext::parse(PARENT, None);
        let (here, there) = within(came.clone(), Span::none(), async {
            let there = tokio::spawn(carry(async { current() }));
            (current(), there.await.unwrap())
        })
        .await;
        assert_eq!((&here, &there), (&came, &came));
        assert_eq!(current(), None);
    }
}
