from gi.repository import Gio

class Bus:
    con: Gio.DBusConnection

def connect(address: str) -> Bus: ...
