# find_package(Edgewright 0.1 REQUIRED): edgewright_compile, edgewright_add_gate and edgewright_embed, described in
# docs/cmake.md. Point CMake here with -DEdgewright_DIR="$(edgewright cmake-dir)".
#
# EDGEWRIGHT_EXECUTABLE   the edgewright command of the machine that builds; found, or given with -D
# EDGEWRIGHT_JOBS         compiles that Ninja runs at once (1: they would disturb one another's timing)

if(CMAKE_VERSION VERSION_LESS 3.20)
  set(Edgewright_FOUND FALSE)
  set(Edgewright_NOT_FOUND_MESSAGE "Edgewright needs CMake 3.20 or newer, this is ${CMAKE_VERSION}.")
  return()
endif()
cmake_policy(VERSION 3.20...3.31)

# The command of this very package first, then the path. It runs on the machine that builds, so the root of a cross build
# (CMAKE_FIND_ROOT_PATH), which holds programs of the device, is not looked in.
find_program(EDGEWRIGHT_EXECUTABLE edgewright
  PATHS
    "${CMAKE_CURRENT_LIST_DIR}/../../../../../bin" # lib/python3.x/site-packages/edgewright/cmake
    "${CMAKE_CURRENT_LIST_DIR}/../../bin"          # pip install --target
  NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
find_program(EDGEWRIGHT_EXECUTABLE edgewright NO_CMAKE_FIND_ROOT_PATH
  DOC "The edgewright command of the machine that builds")
mark_as_advanced(EDGEWRIGHT_EXECUTABLE)

if(NOT EDGEWRIGHT_EXECUTABLE)
  set(Edgewright_FOUND FALSE)
  set(Edgewright_NOT_FOUND_MESSAGE
    "The edgewright command is neither beside this package nor on the path. Type: pip install \"edgewright[compile]\", \
or give -DEDGEWRIGHT_EXECUTABLE=/path/to/edgewright.")
  unset(EDGEWRIGHT_EXECUTABLE CACHE)
  return()
endif()

execute_process(COMMAND ${EDGEWRIGHT_EXECUTABLE} --version
  RESULT_VARIABLE _edgewright_result OUTPUT_VARIABLE _edgewright_output ERROR_VARIABLE _edgewright_error
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT _edgewright_result EQUAL 0 OR NOT _edgewright_output MATCHES "^edgewright ([^ ]+)$")
  set(Edgewright_FOUND FALSE)
  set(Edgewright_NOT_FOUND_MESSAGE
    "'${EDGEWRIGHT_EXECUTABLE} --version' does not answer (${_edgewright_result}): ${_edgewright_output}${_edgewright_error} \
Give -DEDGEWRIGHT_EXECUTABLE=/path/to/edgewright.")
  return()
endif()
set(EDGEWRIGHT_VERSION "${CMAKE_MATCH_1}")
if(DEFINED Edgewright_VERSION AND NOT EDGEWRIGHT_VERSION STREQUAL Edgewright_VERSION)
  message(WARNING "Edgewright: the package in ${CMAKE_CURRENT_LIST_DIR} is ${Edgewright_VERSION}, "
    "the command ${EDGEWRIGHT_EXECUTABLE} is ${EDGEWRIGHT_VERSION}. "
    "Give -DEdgewright_DIR=\"$(${EDGEWRIGHT_EXECUTABLE} cmake-dir)\", or another -DEDGEWRIGHT_EXECUTABLE.")
endif()
unset(_edgewright_result)
unset(_edgewright_output)
unset(_edgewright_error)

set(EDGEWRIGHT_JOBS 1 CACHE STRING "Compiles of models that Ninja runs at once")
set_property(GLOBAL PROPERTY _EDGEWRIGHT_STEP "${CMAKE_CURRENT_LIST_DIR}/step.sh")

include("${CMAKE_CURRENT_LIST_DIR}/EdgewrightWords.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/EdgewrightCompile.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/EdgewrightGate.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/EdgewrightEmbed.cmake")
set(Edgewright_FOUND TRUE)
