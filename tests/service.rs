//! The package as a real service: on a systemd of its own it is installed, called, reloaded, killed, upgraded,
//! stopped and purged, and looked at from outside.

#[path = "support/support.rs"]
mod support;

#[path = "service/house.rs"]
mod house;
#[path = "service/life.rs"]
mod life;
#[path = "service/narrow.rs"]
mod narrow;
