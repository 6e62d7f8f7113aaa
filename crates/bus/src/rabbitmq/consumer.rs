//! News of other replicas: whoever waits here for what they name is woken. What can't be read is counted and dropped, since whoever
//! waits looks at the store again anyway.

use std::sync::atomic::Ordering;

use collective_core::ports::Topic;
use futures_util::StreamExt;
use lapin::options::BasicAckOptions;
use lapin::{Channel, Consumer};

use super::error::Trouble;
use super::session::Shared;
use super::topology::listen_to_news;

/// Messages that the broker sends ahead: what waits here is bounded, and a
/// round trip doesn't slow the news.
const PREFETCH: u16 = 1_024;
/// Messages that are taken together: whoever several of them name is woken
/// once, and one acknowledgement serves all.
const TOGETHER: usize = 256;

/// Starts to listen on a channel of its own.
pub(super) async fn listen(channel: &Channel, shared: &Shared) -> Result<Consumer, Trouble> {
    let options = &shared.options;
    channel
        .basic_qos(PREFETCH, lapin::options::BasicQosOptions::default())
        .await
        .map_err(|error| Trouble::read(&error, options, "listening to news", None))?;
    listen_to_news(channel, options).await
}

/// Hands on what comes, to the first error.
pub(super) async fn pump(consumer: Consumer, shared: &Shared) -> Trouble {
    let told =
        |error: &lapin::Error| Trouble::read(error, &shared.options, "listening to news", None);
    let mut chunks = consumer.ready_chunks(TOGETHER);
    while let Some(chunk) = chunks.next().await {
        let mut heard = 0;
        let mut topics: Vec<Topic> = Vec::new();
        let mut last = None;
        for delivery in chunk {
            let delivery = match delivery {
                Ok(delivery) => delivery,
                Err(error) => return told(&error),
            };
            let own = delivery.properties.app_id().as_ref() == Some(&shared.origin);
            // Whoever waits here was woken before it was sent.
            if !own {
                match serde_json::from_slice::<Vec<Topic>>(&delivery.data) {
                    Ok(named) => {
                        heard += 1;
                        topics.extend(named);
                    }
                    Err(_) => {
                        shared.garbage.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            last = Some(delivery.acker);
        }
        shared.heard.fetch_add(heard, Ordering::Relaxed);
        shared.local.wake_topics(&topics);
        let Some(last) = last else { continue };
        let settled = async {
            let settled = last.ack(BasicAckOptions { multiple: true }).await;
            settled.map_err(|error| told(&error))
        };
        if let Err(trouble) = shared.bounded("acknowledging news", settled).await {
            return trouble;
        }
    }
    Trouble::Broken {
        said: "RabbitMQ removed the queue of news".to_owned(),
    }
}
