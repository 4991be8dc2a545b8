//! A closed set of words: one table gives the enum, the values of a metric's label, and the rows of a document.

/// Declares a set. Each row: name, token, one sentence for people, and the values of the further columns, in their order.
macro_rules! closed_set {
    (
        $(#[$doc:meta])* $set:ident { $($(#[$column_doc:meta])* $column:ident: $type:ty,)* }
        $($name:ident $token:literal $help:literal $($value:literal)*;)*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $set { $(#[doc = $help] $name,)* }

        // A block, so that a module may declare several sets.
        const _: () = {
            /// The further columns of a row.
            #[allow(dead_code, reason = "a set may have none")]
            struct Row { $($column: $type,)* }

            impl $set {
                /// All of them, in the order of the table.
                pub const ALL: &'static [Self] = &[$(Self::$name,)*];
                /// The token of each, by index: the values of a metric's label.
                pub const TOKENS: &'static [&'static str] = &[$($token,)*];

                /// The place in `ALL` and `TOKENS`.
                pub const fn index(self) -> usize {
                    self as usize
                }

                /// The token.
                pub const fn as_str(self) -> &'static str {
                    match self { $(Self::$name => $token,)* }
                }

                /// One sentence for people.
                pub const fn help(self) -> &'static str {
                    match self { $(Self::$name => $help,)* }
                }

                #[allow(dead_code, reason = "a set may have no further columns")]
                const fn row(self) -> Row {
                    const fn row($($column: $type),*) -> Row {
                        Row { $($column),* }
                    }
                    match self { $(Self::$name => row($($value),*),)* }
                }

                $(
                    $(#[$column_doc])*
                    pub const fn $column(self) -> $type {
                        self.row().$column
                    }
                )*
            }
        };

        impl std::fmt::Display for $set {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use closed_set;
