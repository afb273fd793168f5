//! The least that a program can be that is started to answer over NATS: the baseline for starting a worker.
//!
//! `bare-answer URL SUBJECT` publishes one message and ends. `bare-answer URL SUBJECT QUEUE` answers requests as
//! one of this queue group, for as long as it lives.

use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), async_nats::Error> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(subject)) = (args.next(), args.next()) else {
        return Err("URL SUBJECT [QUEUE]".into());
    };
    // No pause before the first try, as for the worker that it is compared with.
    let options = async_nats::ConnectOptions::new().reconnect_to_server_callback(|servers, _| async move {
        let delay = Some(std::time::Duration::ZERO);
        let servers: Vec<async_nats::Server> = servers;
        servers.first().map(|server| async_nats::ReconnectToServer { addr: server.addr.clone(), delay })
    });
    let client = options.connect(url).await?;
    let Some(queue) = args.next() else {
        client.publish(subject, "here".into()).await?;
        return Ok(client.flush().await?);
    };
    let mut requests = client.queue_subscribe(subject, queue).await?;
    while let Some(request) = requests.next().await {
        if let Some(reply) = request.reply {
            client.publish(reply, request.payload).await?;
        }
    }
    Ok(())
}
