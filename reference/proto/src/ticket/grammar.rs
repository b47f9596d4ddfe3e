//! The literal text of the grammar (`spec/ticket.md`, section 3), shared by parser and issuer.

pub(super) const ASSERTION: &str =
    r#"<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" ID=""#;
pub(super) const ISSUE_INSTANT: &str = r#"" IssueInstant=""#;
pub(super) const ISSUER: &str = r#"" Version="2.0"><saml2:Issuer>"#;
pub(super) const ISSUER_END: &str = "</saml2:Issuer>";
pub(super) const ASSERTION_END: &str = "</saml2:Assertion>";

/// The signature starts here and ends after [`SIGNATURE_END`]; what lies outside is digested.
pub(super) const SIGNATURE: &str = r#"<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">"#;
pub(super) const SIGNED_INFO: &str = "<ds:SignedInfo>";
/// The same start tag in canonical form, where the element stands alone.
pub(super) const SIGNED_INFO_ALONE: &str = r#"<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">"#;
pub(super) const C14N_METHOD: &str = r#"<ds:CanonicalizationMethod Algorithm=""#;
pub(super) const SIGNATURE_METHOD: &str = r#""></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=""#;
pub(super) const REFERENCE: &str = r#""></ds:SignatureMethod><ds:Reference URI=""#;
pub(super) const TRANSFORM_1: &str = r#""><ds:Transforms><ds:Transform Algorithm=""#;
pub(super) const TRANSFORM_2: &str = r#""></ds:Transform><ds:Transform Algorithm=""#;
pub(super) const DIGEST_METHOD: &str = r#""></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm=""#;
pub(super) const DIGEST_VALUE: &str = r#""></ds:DigestMethod><ds:DigestValue>"#;
pub(super) const SIGNED_INFO_END: &str = "</ds:DigestValue></ds:Reference></ds:SignedInfo>";
pub(super) const SIGNATURE_VALUE: &str = "<ds:SignatureValue>";
pub(super) const SIGNATURE_END: &str = "</ds:SignatureValue></ds:Signature>";

pub(super) const ALGORITHM_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub(super) const ALGORITHM_RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
pub(super) const ALGORITHM_ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub(super) const ALGORITHM_SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

pub(super) const SUBJECT: &str =
    r#"<saml2:Subject><saml2:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">"#;
pub(super) const USER: &str = "urn:meshproof:user:";
pub(super) const DEVICE: &str = "urn:meshproof:device:";
pub(super) const SUBJECT_NAME_END: &str = "</saml2:NameID>";
pub(super) const BEARER: &str = concat!(
    r#"<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">"#,
    "</saml2:SubjectConfirmation></saml2:Subject>"
);
pub(super) const HOLDER: &str = concat!(
    r#"<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key">"#,
    r#"<saml2:SubjectConfirmationData><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">"#,
    "<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>"
);
pub(super) const EXPONENT: &str = "</ds:Modulus><ds:Exponent>";
pub(super) const EXPONENT_VALUE: &str = "AQAB";
pub(super) const EXPONENT_BYTES: [u8; 3] = [1, 0, 1];
pub(super) const HOLDER_END: &str = concat!(
    "</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>",
    "</saml2:SubjectConfirmationData></saml2:SubjectConfirmation></saml2:Subject>"
);

pub(super) const NOT_BEFORE: &str = r#"<saml2:Conditions NotBefore=""#;
pub(super) const NOT_ON_OR_AFTER: &str = r#"" NotOnOrAfter=""#;
pub(super) const AUDIENCE: &str = r#""><saml2:AudienceRestriction><saml2:Audience>"#;
pub(super) const AUDIENCE_END: &str = "</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>";

pub(super) const AUTHN: &str = r#"<saml2:AuthnStatement AuthnInstant=""#;
pub(super) const AUTHN_CLASS: &str = r#""><saml2:AuthnContext><saml2:AuthnContextClassRef>"#;
pub(super) const AUTHN_END: &str =
    "</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>";

pub(super) const AUTHZ: &str = r#"<saml2:AuthzDecisionStatement Decision=""#;
pub(super) const AUTHZ_RESOURCE: &str = r#"" Resource=""#;
pub(super) const AUTHZ_ACTIONS: &str = r#"">"#;
pub(super) const ACTION: &str = r#"<saml2:Action Namespace="urn:oasis:names:tc:SAML:1.0:action:rwedc">"#;
pub(super) const ACTION_END: &str = "</saml2:Action>";
pub(super) const AUTHZ_END: &str = "</saml2:AuthzDecisionStatement>";

pub(super) const ATTRIBUTES: &str = "<saml2:AttributeStatement>";
pub(super) const ATTRIBUTE: &str = r#"<saml2:Attribute Name=""#;
pub(super) const ATTRIBUTE_VALUES: &str = r#"">"#;
pub(super) const VALUE: &str = "<saml2:AttributeValue>";
pub(super) const VALUE_END: &str = "</saml2:AttributeValue>";
pub(super) const ATTRIBUTE_END: &str = "</saml2:Attribute>";
pub(super) const ATTRIBUTES_END: &str = "</saml2:AttributeStatement>";

pub(super) const KEY: &str = "urn:meshproof:attribute:key";
pub(super) const CLAIM: &str = "urn:meshproof:attribute:claim";
pub(super) const MAPPING: &str = "urn:meshproof:attribute:mapping";
