//! Where `up` listens for shops' hosts.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use engine::containment::HostDesk;
use engine::decider::Decider;
use engine::link::{Agents, Arrivals, plans};
use engine::pipeline::Pipeline;
use server::{Link, ServeError, serve_agents};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::agent_failure;
use crate::commands::console::set;
use crate::commands::now;
use crate::failure::{Failure, OrFail};

/// Flags of `up`; they win over the settings file.
#[derive(Args, Default)]
pub(crate) struct Listen {
    /// Where hosts with an agent report, by mutual TLS with certificates of this installation's own [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    agents: Option<SocketAddr>,
    /// A name or address that hosts reach --agents by. May be repeated [default: the address of --agents]
    #[arg(long = "agents-name", value_name = "HOST")]
    agents_names: Vec<String>,
}

impl Listen {
    /// Fills what the flags left open.
    pub(crate) fn fill(&mut self, agents: Option<SocketAddr>, names: Vec<String>) {
        self.agents = self.agents.or(agents);
        self.agents_names.extend(names);
    }

    /// Checks them.
    pub(crate) fn place(&self, installation: &str) -> Result<Option<AgentsPlace>, Failure> {
        let Some(address) = self.agents else {
            return match self.agents_names.is_empty() {
                true => Ok(None),
                false => Err(Failure::say(
                    "a name that hosts reach nothing by",
                    "name the place, too: --agents ADDRESS:PORT",
                )),
            };
        };
        let mut names = self.agents_names.clone();
        if names.is_empty() {
            if address.ip().is_unspecified() {
                return Err(Failure::say(
                    format!("hosts reach {address} by another name, which isn't known"),
                    "--agents-name HOST, as hosts are told with `magewarden agent enrol --server`",
                ));
            }
            names.push(address.ip().to_string());
        }
        Ok(Some(AgentsPlace {
            address,
            names,
            installation: installation.to_owned(),
        }))
    }
}

/// Where hosts report, checked.
pub(crate) struct AgentsPlace {
    address: SocketAddr,
    names: Vec<String>,
    installation: String,
}

impl AgentsPlace {
    /// Takes what hosts collect into the pipeline's queue, from where its ledger has it.
    pub(crate) fn arrivals(&self, data: &Path, pipeline: &Pipeline) -> Result<Arrivals, Failure> {
        let agents = Agents::open(data, &self.installation, now());
        let agents = agents.map_err(|error| agent_failure(&error))?;
        let key = pipeline.ledger().fingerprint_key();
        let positions = pipeline.positions();
        Ok(Arrivals::new(Arc::new(agents), positions, key, now))
    }

    /// Serves hosts until `stop` is set.
    pub(crate) fn serve(
        &self,
        data: &Path,
        runtime: &Runtime,
        stop: &Arc<AtomicBool>,
        (decider, arrivals): (Decider, Option<Arrivals>),
    ) -> Result<JoinHandle<Result<(), ServeError>>, Failure> {
        let agents = Agents::open(data, &self.installation, now());
        let agents = agents.map_err(|error| agent_failure(&error))?;
        let tls = agents.authority().server(&self.names, now());
        let tls = tls.or_fail("--agents-name takes names of hosts, or addresses")?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(self.address))
            .or_fail("another program holds the port of --agents; name another")?;
        let bound = listener.local_addr().or_fail("")?;
        drop(writeln!(
            std::io::stderr(),
            "agents:  {bound}   (magewarden agent invite NAME lets a host in)"
        ));
        let plans = plans(&data.join("keys")).map_err(|error| agent_failure(&error))?;
        let hosts = HostDesk::new(decider, self.installation.clone(), plans, now);
        let mut link = Link::new(Arc::new(agents), Arc::new(hosts), now);
        if let Some(arrivals) = arrivals {
            link = link.collecting(arrivals);
        }
        let stopped = set(Arc::clone(stop));
        Ok(runtime.spawn(serve_agents(link, listener, tls, stopped)))
    }
}

#[cfg(test)]
mod tests {
    use super::Listen;

    #[track_caller]
    fn check(agents: Option<&str>, names: &[&str], expected: Result<&[&str], &str>) {
        let listen = Listen {
            agents: agents.map(|text| text.parse().expect("an address")),
            agents_names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        match (listen.place("shop"), expected) {
            (Ok(place), Ok(expected)) => {
                let names = place.map(|place| place.names).unwrap_or_default();
                assert_eq!(names, expected);
            }
            (Err(failure), Err(expected)) => {
                assert!(format!("{failure:?}").contains(expected), "{failure:?}");
            }
            (Ok(_), Err(expected)) => panic!("{agents:?} isn't refused: {expected}"),
            (Err(failure), Ok(_)) => panic!("{failure:?}"),
        }
    }

    #[test]
    fn hosts_are_told_a_name_that_the_certificate_has() {
        check(None, &[], Ok(&[]));
        check(Some("127.0.0.1:8781"), &[], Ok(&["127.0.0.1"]));
        check(
            Some("0.0.0.0:8781"),
            &["w.example.test"],
            Ok(&["w.example.test"]),
        );
        check(Some("0.0.0.0:8781"), &[], Err("another name"));
        check(None, &["w.example.test"], Err("reach nothing by"));
    }
}
