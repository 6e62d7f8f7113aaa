//! What stands between a server of ours and a part: it delays and throttles
//! every connection, so that a part is slow and alive.
//!
//! Bytes are never lost nor reordered. What is changed counts from the next
//! byte on; what is under way keeps the delay that it came with.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Most that is read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks of one direction that may be under way: at a tenth of a second that
/// is more than the tests send.
const UNDER_WAY: usize = 1_024;

/// A proxy before a port of this machine; dropping it cuts its connections.
pub struct SlowProxy {
    port: u16,
    pace: Arc<Pace>,
    /// Taken when it is dropped, which must not wait for what is under way.
    runtime: Option<Runtime>,
}

/// How slow it is.
#[derive(Default)]
struct Pace {
    /// Of each chunk in each direction.
    delay_micros: AtomicU64,
    /// Of each direction of each connection; 0 for no bound.
    bytes_per_second: AtomicU64,
}

impl SlowProxy {
    /// Starts one before this port. It passes everything on at once until it
    /// is slowed down.
    pub fn before(port: u16) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start a proxy's runtime")?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.context("no free port for a proxy")?;
        listener.set_nonblocking(true)?;
        let own = listener.local_addr()?.port();
        let pace = Arc::new(Pace::default());
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let part = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        runtime.spawn(accept(listener, part, Arc::clone(&pace)));
        Ok(Self {
            port: own,
            pace,
            runtime: Some(runtime),
        })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Delays every chunk in each direction, and lets so many bytes a second of
    /// each through.
    pub fn slow_down(&self, delay: Duration, bytes_per_second: u64) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.pace.delay_micros.store(micros, Ordering::Relaxed);
        self.pace
            .bytes_per_second
            .store(bytes_per_second, Ordering::Relaxed);
    }

    /// Passes everything on at once again.
    pub fn hurry(&self) {
        self.slow_down(Duration::ZERO, 0);
    }
}

impl Drop for SlowProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, part: SocketAddr, pace: Arc<Pace>) {
    while let Ok((near, _)) = listener.accept().await {
        let pace = Arc::clone(&pace);
        tokio::spawn(async move {
            // Nobody there: the caller's connection ends, as if it were refused.
            let Ok(far) = TcpStream::connect(part).await else {
                return;
            };
            // Without it the kernel would add a delay of its own.
            let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            tokio::join!(
                carry(near_in, far_out, Arc::clone(&pace)),
                carry(far_in, near_out, pace),
            );
        });
    }
}

/// Carries one direction of one connection to its end.
async fn carry(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    pace: Arc<Pace>,
) {
    let (under_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = {
        let pace = Arc::clone(&pace);
        async move {
            let mut chunk = vec![0; CHUNK];
            loop {
                // An error ends a connection as its end does.
                let many = from.read(&mut chunk).await.unwrap_or(0);
                if many == 0 {
                    break;
                }
                let delay = Duration::from_micros(pace.delay_micros.load(Ordering::Relaxed));
                let bytes = chunk[..many].to_vec();
                if under_way
                    .send((Instant::now() + delay, bytes))
                    .await
                    .is_err()
                {
                    break;
                }
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = arriving.recv().await {
            tokio::time::sleep_until(due.into()).await;
            let rate = pace.bytes_per_second.load(Ordering::Relaxed);
            if rate > 0 {
                let many = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let second = Duration::from_secs(1);
                let rate = u32::try_from(rate).unwrap_or(u32::MAX);
                tokio::time::sleep(second * many / rate).await;
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends bytes there and back; gives how long it takes.
    async fn round_trip(stream: &mut TcpStream) -> Result<Duration> {
        let said = [7; 1_000];
        let begun = Instant::now();
        stream.write_all(&said).await?;
        let mut heard = [0; 1_000];
        stream.read_exact(&mut heard).await?;
        assert_eq!(heard, said);
        Ok(begun.elapsed())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_slow_comes_late_and_whole() -> Result<()> {
        let delay = Duration::from_millis(50);
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let proxy = SlowProxy::before(echo.local_addr()?.port())?;
        tokio::spawn(async move {
            let (mut stream, _) = echo.accept().await?;
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await
        });
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await?;
        proxy.slow_down(delay, 0);
        assert!(round_trip(&mut stream).await? >= 2 * delay);
        // A thousand bytes at ten thousand a second, twice.
        proxy.slow_down(Duration::ZERO, 10_000);
        assert!(round_trip(&mut stream).await? >= Duration::from_millis(200));
        proxy.hurry();
        round_trip(&mut stream).await?;
        drop(proxy);
        assert!(round_trip(&mut stream).await.is_err());
        Ok(())
    }
}
