//! What a component tells of itself, and the macro that makes one of a module.

use crate::bindings::exports::millrace::transform::describe;

/// What a module is.
pub trait Module: 'static {
    /// The module's name.
    const NAME: &'static str;
    /// Its version, for people.
    const VERSION: &'static str;
    /// JSON schema of its config.
    const CONFIG_SCHEMA: &'static str;
    /// Whether an answer depends on changes seen before: such a module keeps one instance per shard.
    const STATEFUL: bool = false;
}

/// The answer of `describe.about`.
#[doc(hidden)]
#[must_use]
pub fn about<M: Module>() -> describe::Module {
    describe::Module {
        name: M::NAME.to_owned(),
        version: M::VERSION.to_owned(),
        config_schema: M::CONFIG_SCHEMA.to_owned(),
        stateful: M::STATEFUL,
    }
}

/// Makes a component of a module: `export!(Select: filter)`, with `filter`, `map`, `route`, `format`, or `transform` for a
/// type that does all four. Exports nothing in a native build, where it only checks that the traits are there.
#[macro_export]
macro_rules! export {
    ($module:ty: filter) => {
        $crate::export!(@component $module, FILTER, filter);
    };
    ($module:ty: map) => {
        $crate::export!(@component $module, MAP, map);
    };
    ($module:ty: route) => {
        $crate::export!(@component $module, ROUTE, route);
    };
    ($module:ty: format) => {
        $crate::export!(@component $module, FORMAT, format);
    };
    ($module:ty: transform) => {
        $crate::export!(@component $module, TRANSFORM, filter, map, route, format);
    };
    (@component $module:ty, $world:ident, $($stage:ident),+) => {
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            $($crate::export!(@check $module, $stage);)+
        };
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;

            #[used]
            #[unsafe(link_section = "component-type:millrace-guest")]
            static WORLD: [u8; $crate::sections::$world.len()] = $crate::sections::array($crate::sections::$world);

            impl $crate::bindings::exports::millrace::transform::describe::Guest for Exported {
                fn about() -> $crate::bindings::exports::millrace::transform::describe::Module {
                    $crate::about::<$module>()
                }
            }
            $crate::bindings::exports::millrace::transform::describe::__export_millrace_transform_describe_1_0_0_cabi!(
                Exported with_types_in $crate::bindings::exports::millrace::transform::describe
            );

            $($crate::export!(@stage $module, Exported, $stage);)+
        };
    };
    (@check $module:ty, filter) => { $crate::export!(@has $module, $crate::Filter); };
    (@check $module:ty, map) => { $crate::export!(@has $module, $crate::Map); };
    (@check $module:ty, route) => { $crate::export!(@has $module, $crate::Route); };
    (@check $module:ty, format) => { $crate::export!(@has $module, $crate::Format); };
    (@has $module:ty, $stage:path) => {
        const _: fn() = || {
            fn has<T: $stage>() {}
            has::<$module>();
        };
    };
    (@stage $module:ty, $exported:ident, filter) => {
        $crate::export!(
            @stage $module, $exported, filter, Filtering, Plan, Verdicts, __export_millrace_transform_filter_1_0_0_cabi
        );
    };
    (@stage $module:ty, $exported:ident, map) => {
        $crate::export!(
            @stage $module, $exported, map, Mapping, Plan, Mapped, __export_millrace_transform_map_1_0_0_cabi
        );
    };
    (@stage $module:ty, $exported:ident, route) => {
        $crate::export!(
            @stage $module, $exported, route, Routing, Plan, Routes, __export_millrace_transform_route_1_0_0_cabi
        );
    };
    (@stage $module:ty, $exported:ident, format) => {
        $crate::export!(
            @stage $module, $exported, format, Formatting, Plan, Records,
            __export_millrace_transform_format_1_0_0_cabi
        );
    };
    (
        @stage $module:ty, $exported:ident, $stage:ident, $driver:ident, $plan:ident, $answer:ident, $cabi:ident
    ) => {
        const _: () = {
            // One per instance: a component has one thread.
            ::std::thread_local! {
                static STAGE: ::std::cell::RefCell<::std::option::Option<$crate::$driver<$module>>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }
            use $crate::bindings::exports::millrace::transform::$stage as contract;
            impl contract::Guest for $exported {
                fn init(config: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::log::install_panic_hook();
                    let stage = $crate::$driver::<$module>::init(&config)?;
                    STAGE.set(::std::option::Option::Some(stage));
                    ::std::result::Result::Ok(())
                }
                fn announce(
                    relation: contract::Relation,
                ) -> ::std::result::Result<contract::$plan, ::std::string::String> {
                    STAGE.with_borrow_mut(|stage| match stage {
                        ::std::option::Option::Some(stage) => stage.announce(relation),
                        ::std::option::Option::None => {
                            ::std::result::Result::Err("announce was called before init".into())
                        }
                    })
                }
                fn process(batch: contract::Batch) -> contract::$answer {
                    STAGE.with_borrow_mut(|stage| match stage {
                        ::std::option::Option::Some(stage) => stage.process(&batch),
                        // The contract has no other way to refuse, and a host that does this is broken.
                        ::std::option::Option::None => panic!("process was called before init"),
                    })
                }
            }
            $crate::bindings::exports::millrace::transform::$stage::$cabi!(
                $exported with_types_in $crate::bindings::exports::millrace::transform::$stage
            );
        };
    };
}
