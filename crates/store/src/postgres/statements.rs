//! The adapter's statements, by name: constants beside the code that uses them,
//! and a list of all of them for whoever checks them against a real server.

/// A statement and the name of the constant that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The file and the constant, such as `lanes::HEADS`.
    pub name: &'static str,
    /// The SQL.
    pub sql: &'static str,
}

/// Declares a file's statements as constants, and `STATEMENTS` with all of
/// them: none can be left out of the list.
macro_rules! statements {
    ($of:literal: $($(#[$about:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$about])* const $name: &str = $sql;)*

        /// All of this file's.
        pub(super) const STATEMENTS: &[$crate::postgres::statements::Statement] = &[$(
            $crate::postgres::statements::Statement {
                name: concat!($of, "::", stringify!($name)),
                sql: $name,
            },
        )*];
    };
}
pub(super) use statements;

/// The number of the team whose name is the statement's first parameter.
macro_rules! team {
    () => {
        "(SELECT number FROM teams WHERE name = $1)"
    };
}
pub(super) use team;

/// Every statement of the adapter but those that open and end transactions.
pub fn all_statements() -> Vec<Statement> {
    [
        super::agents::STATEMENTS,
        super::answers::STATEMENTS,
        super::attempts::STATEMENTS,
        super::duty::STATEMENTS,
        super::edges::STATEMENTS,
        super::events::STATEMENTS,
        super::health::STATEMENTS,
        super::lanes::STATEMENTS,
        super::listing::STATEMENTS,
        super::messages::STATEMENTS,
        super::outbox::STATEMENTS,
        super::questions::STATEMENTS,
        super::reservations::STATEMENTS,
        super::schedules::STATEMENTS,
        super::schema::STATEMENTS,
        super::tasks::STATEMENTS,
        super::teams::STATEMENTS,
    ]
    .concat()
}
