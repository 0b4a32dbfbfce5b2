//! Tests of the panel.
