//! What must hold when things break: nothing accepted is lost, nothing is applied twice, and what is wrong is said.

mod crashes;
mod orphans;
mod poison;
mod refusals;
mod shutdown;
mod storage;
mod streams;
