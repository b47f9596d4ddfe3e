//! Tests against software nobody here wrote: xmlsec1, signxml, lxml, samael, bergshamra, pysaml2, python3-saml, libxml2's schema validator, OpenSSL.
//!
//! The reference implementation and the kit's oracle come from one specification, so a shared misreading of SAML or
//! XML Signature would not show between them. It shows here. `README.md` says what is run and what was found.
//!
//! Tests that need installed tools are `#[ignore]`d, so that a checkout without them is not green by silence;
//! `run.sh` runs them all.

pub mod changed;
pub mod fresh;
pub mod judge;
pub mod openssl;
pub mod sample;
pub mod tool;
