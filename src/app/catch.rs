//! A panic that ends what panicked and nothing else.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Resolves as the future does, or with what it panicked with. What a panic leaves of it is dropped and not looked at
/// again, which is why unwinding past it is safe to assert.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    Caught(Box::pin(future)).await
}

struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.0.as_mut();
        match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn caught_panic_is_a_value_and_what_is_done_comes_through() {
        assert_eq!(caught(async { 7 }).await.unwrap(), 7);
        // Without the hook, which would print a trace that other tests fork in the middle of.
        let ended: Result<(), _> = caught(async { std::panic::resume_unwind(Box::new("on purpose")) }).await;
        assert!(ended.is_err());
    }
}
