# What BBCLASSEXTEND asks for.
CLASSOVERRIDE = "class-native"
python () {
    d.setVar("PN", d.getVar("BPN") + "-native")
}
