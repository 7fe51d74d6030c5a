//! Doing one thing many times, with a fixed number of them in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{percentiles, usage};
use crate::clock::Clock;

/// The figures of one kind of work.
///
/// # Examples
///
/// Compiled only: a run takes minutes.
///
/// ```no_run
/// use qadom_node::{BenchSettings, Row, run_bench};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let report = run_bench(&BenchSettings::default(), |_| {}).await?;
/// for Row { work, count, failed, p50, .. } in report.rows {
///     println!("{work}: {count} of them, {failed} failed, half of them within {p50:?}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was done, in words.
    pub work: String,
    /// How often it was done.
    pub count: usize,
    /// How often it failed. The times of failed operations count like the others'.
    pub failed: usize,
    /// The median time of one operation.
    pub p50: Duration,
    /// The time that 95 of 100 operations stayed below.
    pub p95: Duration,
    /// The time that 99 of 100 operations stayed below.
    pub p99: Duration,
    /// Operations per second of the whole round.
    pub per_second: f64,
    /// CPU time of the whole process by operation; none where the system does not tell.
    pub cpu: Option<Duration>,
}

/// Does something `count` times, `in_flight` of them at once. `operation` gets the index and says
/// whether it succeeded.
pub(super) async fn measure<F>(
    work: String,
    count: usize,
    in_flight: usize,
    operation: impl Fn(usize) -> F,
) -> Row
where
    F: Future<Output = bool> + Send + 'static,
{
    let clock = Clock::start(0);
    let cpu = usage::cpu();
    let next = Arc::new(AtomicUsize::new(0));
    let mut spans = Vec::with_capacity(count);
    let mut failed = 0;
    let mut running = tokio::task::JoinSet::new();
    let timed = |index: usize| {
        let future = operation(index);
        async move {
            let began = clock.now().moment;
            let is_done = future.await;
            (clock.now().moment.since(began), is_done)
        }
    };
    for _ in 0..in_flight.min(count) {
        running.spawn(timed(next.fetch_add(1, Ordering::Relaxed)));
    }
    while let Some(ended) = running.join_next().await {
        let (span, is_done) = ended.unwrap_or_default();
        spans.push(span);
        failed += usize::from(!is_done);
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index < count {
            running.spawn(timed(index));
        }
    }
    row(work, spans, failed, clock, cpu)
}

/// The row of a round that began when its clock was started.
pub(super) fn row(
    work: String,
    spans: Vec<Duration>,
    failed: usize,
    clock: Clock,
    cpu_before: Option<Duration>,
) -> Row {
    let elapsed = clock.elapsed();
    let count = spans.len();
    let operations = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let cpu = usage::cpu()
        .zip(cpu_before)
        .map(|(now, then)| now.saturating_sub(then) / operations);
    let [p50, p95, p99] = percentiles(spans);
    let per_second = f64::from(operations) / elapsed.as_secs_f64().max(f64::EPSILON);
    Row {
        work,
        count,
        failed,
        p50,
        p95,
        p99,
        per_second,
        cpu,
    }
}
