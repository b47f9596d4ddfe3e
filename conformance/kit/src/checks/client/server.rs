//! graph.md section 4.13: who stands between the client and its cloud, and where the cloud sends it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{DIRECT, LOGIN, check, enrolled};
use crate::catalog::Part;
use crate::check::{Check, Context, Verdict, demand};
use crate::double::http::{Reply, Request};
use crate::double::{Certificate, Double};
use crate::target::client::{Client, rejected};

pub(super) fn checks() -> Vec<Check> {
    let strange = |id: &str, title: &str, certificate: Certificate| {
        check(Part::Graph, id, &["GPH-170"], title, move |context| async move {
            let (double, client) =
                (Double::start_with(&context, certificate).await?, Client::start(&context)?);
            rejected("login", &client.login(&double).await?)?;
            let requests = double.seen().await.requests;
            demand!(requests.is_empty(), "the client sends {}", requests[0].0);
            Ok(())
        })
        .twin(LOGIN)
    };
    vec![
        strange(
            "client.tls.other-authority",
            "the certificate is by another authority",
            Certificate::OtherAuthority,
        ),
        strange("client.tls.expired", "the certificate has expired", Certificate::Expired),
        strange("client.tls.other-host", "the certificate is for another host", Certificate::OtherHost),
        check(Part::Graph, "client.tls.none", &["GPH-170"], "the cloud's URL is one of http", plain)
            .twin(LOGIN),
        check(
            Part::Graph,
            "client.origin.redirect-password",
            &["GPH-171"],
            "the sign-in is redirected to another server",
            |context| async move {
                let (double, client) = (Double::start(&context).await?, Client::start(&context)?);
                redirect(&double, |request| request.line() == "POST /identity/token");
                rejected("login", &client.login(&double).await?)?;
                demand_no_strays(&double).await
            },
        )
        .twin(LOGIN),
        check(
            Part::Graph,
            "client.origin.redirect-tickets",
            &["GPH-171"],
            "a request with tickets is redirected to another server",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                redirect(&double, |request| request.path.ends_with("/mappings"));
                client.sync().await?;
                demand_no_strays(&double).await
            },
        )
        .twin(DIRECT),
        check(
            Part::Graph,
            "client.origin.root",
            &["GPH-171"],
            "the root of the mesh is at another server",
            |context| async move {
                let (double, client) = (Double::start(&context).await?, Client::start(&context)?);
                let root = format!("@{}/mesh", double.elsewhere);
                double.edit(move |request, reply| {
                    if request.line() == "POST /tickets" {
                        reply.edit(|body| body["root"] = root.as_str().into());
                    }
                });
                client.login(&double).await?;
                client.claim().await?;
                demand_no_strays(&double).await
            },
        )
        .twin(LOGIN),
        check(
            Part::Graph,
            "client.origin.next-page",
            &["GPH-171"],
            "the next page is at another server",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                let next = format!("https://{}/mesh/more", double.elsewhere);
                double.edit(move |request, reply| {
                    if request.path.ends_with("/mappings") {
                        reply.edit(|body| body["links"]["next"] = next.as_str().into());
                    }
                });
                client.sync().await?;
                demand_no_strays(&double).await
            },
        )
        .twin(DIRECT),
    ]
}

/// Sends some requests on to another server, of which the client has no reason to think ill.
fn redirect(double: &Double, which: impl Fn(&Request) -> bool + Send + Sync + 'static) {
    let elsewhere = double.elsewhere.clone();
    double.edit(move |request, reply| {
        if which(request) {
            let to = format!("https://{elsewhere}{}", request.path);
            *reply = Reply { status: 307, ..Reply::problem(307, "moved", "") }.with("location", to);
        }
    });
}

async fn demand_no_strays(double: &Double) -> Verdict {
    let strays = double.seen().await.strays;
    demand!(strays.is_empty(), "the client sends {} to another server", strays[0]);
    Ok(())
}

/// Nobody may read a password on its way.
async fn plain(context: Context) -> Verdict {
    let client = Client::start(&context)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        let mut piece = [0; 4_096];
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let read = stream.read(&mut piece).await.unwrap_or_default();
        // Before the stream ends, for which a client waits.
        hears.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece[..read]);
    });
    let answer = client.login_at(&url).await?;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
    context.bytes("what was heard", &heard);
    demand!(heard.is_empty(), "the client talks without TLS");
    rejected("login", &answer)
}
