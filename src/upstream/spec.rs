//! What the configuration decides about an upstream.

use std::fmt;
use std::sync::Arc;

use super::address::EndpointAddress;
use super::balance::Policy;
use super::endpoint::MAX_WEIGHT;
use super::set::{MAX_ENDPOINTS, SetOptions};

/// One configured endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Where it listens; a name stands for all its addresses.
    pub address: EndpointAddress,
    /// 0..=1,000,000; 0 gets nothing. Every address of a name has this weight.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u8,
    /// Where it runs.
    pub zone: Option<Arc<str>>,
}

/// One configured upstream.
#[derive(Clone, Debug)]
pub struct UpstreamSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its endpoints, in written order.
    pub endpoints: Vec<EndpointSpec>,
    /// How one is chosen.
    pub policy: Policy,
    /// What else decides about the choice.
    pub options: SetOptions,
}

/// Why an upstream cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// Two entries have this address.
    Duplicate(Arc<str>),
    /// This entry's weight is above 1,000,000.
    WeightOutOfRange(Arc<str>),
    /// More than 4,096 entries.
    TooManyEndpoints,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(address) => write!(f, "endpoint {address} is written twice"),
            Self::WeightOutOfRange(address) => {
                write!(f, "the weight of endpoint {address} is above {MAX_WEIGHT}")
            }
            Self::TooManyEndpoints => write!(f, "more than {MAX_ENDPOINTS} endpoints"),
        }
    }
}

impl std::error::Error for UpstreamError {}
