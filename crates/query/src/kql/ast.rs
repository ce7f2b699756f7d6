//! The syntax tree of KQL: what was written, before it means anything.
//!
//! Owns: the shape that Kibana's parser gives. Does not own: the meaning of fields and values (`compile`).
//! Invariant: offsets are byte offsets into the parsed text.

/// A query, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Ast {
    /// All of these; at least two.
    And(Vec<Ast>),
    /// Any of these; at least two.
    Or(Vec<Ast>),
    /// Not this.
    Not(Box<Ast>),
    /// `field: value`; a bare value has the field [`LiteralValue::Null`].
    Is {
        /// The field's name.
        field: Literal,
        /// Its value.
        value: Literal,
    },
    /// `field > value` and the like.
    Range {
        /// The field's name.
        field: Literal,
        /// How to compare.
        op: RangeOp,
        /// With what.
        value: Literal,
    },
    /// `field: { query }`.
    Nested {
        /// The name of the list of objects.
        field: Literal,
        /// What one object has to satisfy; names in it are relative.
        query: Box<Ast>,
    },
    /// `field =~ "pattern"`, and with `!~` its opposite. Not in Kibana.
    Regex {
        /// The field's name.
        field: Literal,
        /// The regular expression.
        pattern: Literal,
        /// Written with `!~`.
        negated: bool,
    },
}

/// A name or a value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal {
    /// What was written.
    pub value: LiteralValue,
    /// Where it starts.
    pub offset: usize,
}

/// What a literal is.
#[derive(Clone, Debug, PartialEq)]
pub enum LiteralValue {
    /// `null`, or no field at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Anything else without `*`.
    Text {
        /// The text, escapes resolved.
        text: String,
        /// Whether it stood in quotes.
        quoted: bool,
    },
    /// Unquoted text with at least one `*`.
    Wildcard(WildcardText),
}

/// Text with `*` in it: the pieces between the stars, so that one more than there are stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WildcardText(pub Vec<String>);

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOp {
    /// `<`
    Lt,
    /// `<=`
    Lte,
    /// `>`
    Gt,
    /// `>=`
    Gte,
}

impl WildcardText {
    /// Whether it is nothing but stars.
    #[must_use]
    pub fn is_only_stars(&self) -> bool {
        self.0.iter().all(String::is_empty)
    }
}

impl RangeOp {
    /// Whether `ordering` of a value to the operand satisfies it.
    #[must_use]
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Lt => ordering.is_lt(),
            Self::Lte => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Gte => ordering.is_ge(),
        }
    }
}
