# edgewright_embed(TARGET lib BUNDLE b): the engine of a bundle, and its specification, become part of a library or program.
function(edgewright_embed)
  set(usage "edgewright_embed(TARGET lib BUNDLE net NAME net)")
  set(singles TARGET BUNDLE NAME FORM)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "${singles}" "")
  _edgewright_check_arguments("edgewright_embed(${arg_TARGET})" "${usage}" singles)
  foreach(needed IN ITEMS TARGET BUNDLE)
    if("${arg_${needed}}" STREQUAL "")
      message(FATAL_ERROR "edgewright_embed: there is no ${needed}. Write: ${usage}")
    endif()
  endforeach()
  if(NOT TARGET "${arg_TARGET}")
    message(FATAL_ERROR "edgewright_embed: there is no target '${arg_TARGET}'. Write add_library or add_executable before it.")
  endif()
  _edgewright_bundles("edgewright_embed(${arg_TARGET})" "${arg_BUNDLE}" bundle depends)
  list(LENGTH bundle count)
  if(count GREATER 1)
    message(FATAL_ERROR "edgewright_embed(${arg_TARGET}): ${arg_BUNDLE} makes ${count} bundles. Give BUNDLE the file of one: ${bundle}")
  endif()
  if("${arg_NAME}" STREQUAL "")
    get_filename_component(arg_NAME "${bundle}" NAME_WLE)
    string(MAKE_C_IDENTIFIER "${arg_NAME}" arg_NAME)
  endif()
  if(NOT arg_NAME MATCHES "^[A-Za-z][A-Za-z0-9_]*$")
    message(FATAL_ERROR "edgewright_embed(${arg_TARGET}): '${arg_NAME}' is no beginning of a C identifier. "
      "Give NAME a letter, then letters, digits and _.")
  endif()

  if(NOT CMAKE_C_COMPILER AND NOT CMAKE_CXX_COMPILER)
    message(FATAL_ERROR "edgewright_embed(${arg_TARGET}): there is no compiler. Write project(... LANGUAGES C).")
  endif()

  set(folder "${CMAKE_CURRENT_BINARY_DIR}/edgewright-embed/${arg_TARGET}")
  set(made "${folder}/${arg_NAME}.c" "${folder}/${arg_NAME}.h")
  set(options "")
  if(NOT "${arg_FORM}" STREQUAL "")
    set(options --form "${arg_FORM}")
    if(arg_FORM STREQUAL "incbin")
      if(NOT CMAKE_ASM_COMPILER)
        message(FATAL_ERROR "edgewright_embed(${arg_TARGET}): FORM incbin needs an assembler. "
          "Write project(... LANGUAGES C ASM).")
      endif()
      list(APPEND made "${folder}/${arg_NAME}.S")
    endif()
  endif()

  # The stamp is made anew whenever the bundle changes; the C files only where their bytes do, and only then are they
  # compiled again.
  set(stamp "${folder}/${arg_NAME}.stamp")
  set(step "${arg_TARGET}-embed-${arg_NAME}")
  file(MAKE_DIRECTORY "${folder}")
  get_property(runner GLOBAL PROPERTY _EDGEWRIGHT_STEP)
  string(REPLACE ";" "\n" content "${EDGEWRIGHT_VERSION};${bundle};${options}")
  file(GENERATE OUTPUT "${folder}/${arg_NAME}.words" CONTENT "${content}\n")
  add_custom_command(
    OUTPUT "${stamp}"
    BYPRODUCTS ${made}
    COMMAND sh "${runner}" ${EDGEWRIGHT_EXECUTABLE} embed "${bundle}" -o "${folder}" --name "${arg_NAME}" ${options}
    COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
    DEPENDS ${depends} "${folder}/${arg_NAME}.words"
    COMMENT "Embedding a model into ${arg_TARGET}: ${arg_NAME}.h, ${arg_NAME}.c"
    VERBATIM)
  add_custom_target("${step}" DEPENDS "${stamp}")
  set_source_files_properties(${made} PROPERTIES GENERATED TRUE
    SKIP_UNITY_BUILD_INCLUSION TRUE SKIP_PRECOMPILE_HEADERS TRUE SKIP_AUTOGEN TRUE)
  if(NOT CMAKE_C_COMPILER)
    set_source_files_properties("${folder}/${arg_NAME}.c" PROPERTIES LANGUAGE CXX)
  endif()
  target_sources("${arg_TARGET}" PRIVATE ${made})
  target_include_directories("${arg_TARGET}" PUBLIC "$<BUILD_INTERFACE:${folder}>")
  add_dependencies("${arg_TARGET}" "${step}")
endfunction()
