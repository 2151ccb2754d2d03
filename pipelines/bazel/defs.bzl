"""Rules that compile a trained model into a bundle, and judge it in a test."""

EdgewrightProgramInfo = provider("Where the command is.", fields = {"path": "an absolute path, or nothing"})
EdgewrightBundleInfo = provider("A compiled model.", fields = {"bundle": "its file", "record": "what was timed"})

def _program_impl(ctx):
    path = ctx.build_setting_value
    if path and not path.startswith("/"):
        fail("{}={}: write an absolute path".format(ctx.label, path))
    return [EdgewrightProgramInfo(path = path)]

edgewright_program = rule(
    implementation = _program_impl,
    build_setting = config.string(flag = True),
    doc = "The setting that says where the command is, where no rule says it by a label.",
)

def _program(ctx, of_test = False):
    """The command as (path, files to make it)."""
    if ctx.attr.program:
        tool = ctx.attr.program[DefaultInfo].files_to_run
        path = tool.executable.short_path if of_test else tool.executable.path
        return (path if "/" in path else "./" + path), tool  # a shell looks for a bare name on the PATH
    path = ctx.attr._program[EdgewrightProgramInfo].path
    if not path:
        fail("there is no edgewright: build with --{}=/path/to/edgewright".format(ctx.attr._program.label))
    return path, None

_PROGRAM = {
    "program": attr.label(allow_files = True, executable = True, cfg = "exec", doc = "the command, where it is a target"),
    "_program": attr.label(default = Label("//:program")),
}

# What a compile may see beside its inputs: no home folder, no network, no results of earlier builds.
_ENV = {
    "EDGEWRIGHT_CACHE_SIZE": "0",
    "EDGEWRIGHT_OFFLINE": "1",
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_FOLDERS = ["data", "eval_data", "train_data"]
_FILES = _FOLDERS + ["metric"]

def _word(file, factory):
    return file.path + ":" + factory if factory else file.path

def _bundle_impl(ctx):
    bundle = ctx.actions.declare_file(ctx.label.name + ".ewb")
    record = ctx.actions.declare_file(ctx.label.name + ".record.json")
    declared = ctx.actions.declare_file(ctx.label.name + ".declared")

    program, tool = _program(ctx)
    args = ctx.actions.args()
    args.add_all([declared, program, "compile"])
    args.add(_word(ctx.file.model, ctx.attr.model_factory))
    args.add("--target", ctx.file.target_file or ctx.attr.target)
    inputs = [ctx.file.model] + ctx.files.srcs
    for name in _FILES:
        file = getattr(ctx.file, name)
        if file:
            inputs.append(file)
            args.add("--" + name.replace("_", "-"), _word(file, getattr(ctx.attr, name + "_factory")))
    for name in _FOLDERS:
        folder = getattr(ctx.attr, name + "_folder")
        if folder:
            # Its files are in srcs: Bazel does not look into a folder that is an input itself.
            here = [part for part in [ctx.label.workspace_root, ctx.label.package, folder] if part]
            args.add("--" + name.replace("_", "-"), "/".join(here))
    for name in ["recipe", "plan", "golden"]:
        file = getattr(ctx.file, name)
        if file:
            inputs.append(file)
            args.add("--" + name, file)
    if ctx.file.target_file:
        inputs.append(ctx.file.target_file)
    for name in ["metric_name", "precision", "max_drop", "max_latency", "max_size"]:
        value = getattr(ctx.attr, name)
        if value:
            args.add("--" + name.replace("_name", "").replace("_", "-"), value)
    args.add_all([ctx.expand_location(option, ctx.attr.srcs) for option in ctx.attr.options])
    args.add("--out", bundle)
    args.add("--record", record)

    ctx.actions.write(declared, "".join([file.path + "\n" for file in inputs]))
    ctx.actions.run(
        executable = ctx.executable._wrapper,
        arguments = [args],
        inputs = inputs + [declared],
        outputs = [bundle, record],
        tools = [tool] if tool else [],
        env = _ENV,
        execution_requirements = {"block-network": "1"},
        mnemonic = "EdgewrightCompile",
        progress_message = "Compiling a model for {}: {}".format(ctx.attr.target or "a target of its own", bundle.short_path),
    )
    return [
        DefaultInfo(files = depset([bundle])),
        OutputGroupInfo(record = depset([record])),
        EdgewrightBundleInfo(bundle = bundle, record = record),
    ]

_edgewright_bundle = rule(
    implementation = _bundle_impl,
    attrs = dict(
        _PROGRAM,
        model = attr.label(mandatory = True, allow_single_file = True),
        model_factory = attr.string(),
        target = attr.string(),
        target_file = attr.label(allow_single_file = [".toml"]),
        data = attr.label(allow_single_file = True),
        data_factory = attr.string(),
        data_folder = attr.string(),
        eval_data = attr.label(allow_single_file = True),
        eval_data_factory = attr.string(),
        eval_data_folder = attr.string(),
        train_data = attr.label(allow_single_file = True),
        train_data_factory = attr.string(),
        train_data_folder = attr.string(),
        metric = attr.label(allow_single_file = [".py"]),
        metric_factory = attr.string(),
        metric_name = attr.string(),
        recipe = attr.label(allow_single_file = [".toml"]),
        plan = attr.label(allow_single_file = True),
        golden = attr.label(allow_single_file = True),
        precision = attr.string(),
        max_drop = attr.string(),
        max_latency = attr.string(),
        max_size = attr.string(),
        options = attr.string_list(),
        srcs = attr.label_list(allow_files = True),
        _wrapper = attr.label(default = Label("//:compile.sh"), allow_single_file = True, executable = True, cfg = "exec"),
    ),
)

def edgewright_bundle(name, model, target, metric = None, **kwargs):
    """NAME.ewb, compiled from `model` for `target`.

    Args:
      name: of the rule; the bundle is NAME.ewb, what was timed NAME.record.json (output group `record`).
      model: net.onnx, net.pt2, or net.py:factory.
      target: hardware/runtime, or a TOML file.
      metric: a metric's name, or metric.py:function.
      **kwargs: data, eval_data, train_data (a file, data.py:factory, or "folder/", its files in srcs), recipe, plan, golden, precision,
        max_drop, max_latency, max_size, options, and srcs: every other file that is read, such as weights beside the
        model, and what a factory opens or imports. program: the command, where it is a target.
    """
    words = dict(kwargs, model = model)
    if metric and ".py:" in metric:
        words["metric"] = metric
    elif metric:
        words["metric_name"] = metric
    for key in ["model"] + _FILES:
        value = words.get(key)
        if value and ".py:" in value:
            words[key], _, words[key + "_factory"] = value.rpartition(":")
        elif value and value.endswith("/"):
            words[key + "_folder"] = words.pop(key)[:-1]
    if target.endswith(".toml"):
        words["target_file"] = target
    else:
        words["target"] = target
    _edgewright_bundle(name = name, **words)

def _quoted(word):
    return "'" + word.replace("'", "'\\''") + "'"

def _gate_impl(ctx):
    program, tool = _program(ctx, of_test = True)
    files = [ctx.file.bundle, ctx.file._runner]
    words = []
    for name in ["limits", "against", "baseline", "data"]:
        file = getattr(ctx.file, name)
        if file:
            files.append(file)
            words += ["--" + name, file.short_path]
    verb = "gate" if words else "verify"
    words += ctx.attr.options
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    allowed = "1" if ctx.attr.pass_where_target_is_absent else "0"
    command = ["exec", "sh", ctx.file._runner.short_path, allowed, ctx.file.bundle.short_path, program, verb] + words
    ctx.actions.write(script, "#!/bin/sh\n" + " ".join([_quoted(word) for word in command]) + "\n", is_executable = True)
    runfiles = ctx.runfiles(files = files)
    if tool:
        runfiles = runfiles.merge(ctx.attr.program[DefaultInfo].default_runfiles)
    return [DefaultInfo(executable = script, runfiles = runfiles)]

_edgewright_gate_test = rule(
    implementation = _gate_impl,
    test = True,
    attrs = dict(
        _PROGRAM,
        bundle = attr.label(mandatory = True, allow_single_file = [".ewb"]),
        limits = attr.label(allow_single_file = [".toml"]),
        against = attr.label(allow_single_file = True),
        baseline = attr.label(allow_single_file = True),
        data = attr.label(allow_single_file = True),
        options = attr.string_list(),
        pass_where_target_is_absent = attr.bool(),
        _runner = attr.label(default = Label("//:gate.sh"), allow_single_file = True),
    ),
)

def edgewright_gate_test(name, tags = [], **kwargs):
    """A test of a bundle: `edgewright gate` with any of limits, against, baseline, data; else `edgewright verify`.

    Args:
      name: of the test.
      tags: in addition to "exclusive": what measures runs alone.
      **kwargs: bundle, limits, against, baseline, data, options, program; pass_where_target_is_absent: Bazel knows no
        skipped test, so one whose target is not on this machine fails unless this is True.
    """
    _edgewright_gate_test(name = name, tags = tags + ["exclusive"], **kwargs)
