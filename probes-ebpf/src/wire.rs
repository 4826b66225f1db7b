//! Records of the `edge` object.
