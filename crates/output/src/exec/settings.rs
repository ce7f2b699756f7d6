//! What can be set about the output `exec`.

use std::time::Duration;

use sawyer_config::{choice, settings};

choice! {
    /// When records that were given to the program are acknowledged.
    pub enum Acknowledge {
        /// When they are in the pipe to the program. What it loses is lost; what it prints is thrown away. When
        /// Sawyer ends, the program's input is closed, and it is killed if it does not end within 2 s.
        Written = "written",
        /// When the program has said what became of them: for each record, in order, it prints one line, `ok` or a
        /// JSON object. An object with the key `error` refuses the record for good. Anything else is no answer, and
        /// the program is started again.
        Answered = "answered",
    }
}

settings! {
    /// Gives records to a program, one JSON object a line on its standard input, in the form in which the HTTP API
    /// shows them. If the program ends, it is started again, and what it had not acknowledged is written again: a
    /// record may come more than once, with the same `_id`.
    pub struct ExecOutputSettings {
        /// When records are acknowledged.
        pub acknowledge: Acknowledge = Acknowledge::Written,
        /// How long the program may take to read records, and to answer one, before it is killed and started again.
        #[range(Duration::from_millis(1)..=Duration::from_secs(3600))]
        pub timeout: Duration = Duration::from_secs(30),
    }
}
