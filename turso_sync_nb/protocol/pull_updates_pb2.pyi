from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PageEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RAW: _ClassVar[PageEncoding]
    ZSTD: _ClassVar[PageEncoding]

class StreamKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAGES: _ClassVar[StreamKind]
    MVCC_LOGICAL_LOG: _ClassVar[StreamKind]

class ApplyMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INCREMENTAL: _ClassVar[ApplyMode]
    REPLACE_BASE: _ClassVar[ApplyMode]

class DatabaseProtocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROTOCOL_UNSPECIFIED: _ClassVar[DatabaseProtocol]
    PROTOCOL_PAGES: _ClassVar[DatabaseProtocol]
    PROTOCOL_MVCC_LOGICAL: _ClassVar[DatabaseProtocol]
RAW: PageEncoding
ZSTD: PageEncoding
PAGES: StreamKind
MVCC_LOGICAL_LOG: StreamKind
INCREMENTAL: ApplyMode
REPLACE_BASE: ApplyMode
PROTOCOL_UNSPECIFIED: DatabaseProtocol
PROTOCOL_PAGES: DatabaseProtocol
PROTOCOL_MVCC_LOGICAL: DatabaseProtocol

class PullRequestMessage(_message.Message):
    __slots__ = ("encoding", "server_revision", "client_revision", "long_poll_timeout_ms", "server_pages_selector", "client_pages", "server_query_selector", "stream_kind")
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SERVER_REVISION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_REVISION_FIELD_NUMBER: _ClassVar[int]
    LONG_POLL_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    SERVER_PAGES_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    CLIENT_PAGES_FIELD_NUMBER: _ClassVar[int]
    SERVER_QUERY_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    STREAM_KIND_FIELD_NUMBER: _ClassVar[int]
    encoding: PageEncoding
    server_revision: str
    client_revision: str
    long_poll_timeout_ms: int
    server_pages_selector: bytes
    client_pages: bytes
    server_query_selector: str
    stream_kind: StreamKind
    def __init__(self, encoding: _Optional[_Union[PageEncoding, str]] = ..., server_revision: _Optional[str] = ..., client_revision: _Optional[str] = ..., long_poll_timeout_ms: _Optional[int] = ..., server_pages_selector: _Optional[bytes] = ..., client_pages: _Optional[bytes] = ..., server_query_selector: _Optional[str] = ..., stream_kind: _Optional[_Union[StreamKind, str]] = ...) -> None: ...

class RawEncoding(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ZstdEncoding(_message.Message):
    __slots__ = ("level", "pages_dict")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    PAGES_DICT_FIELD_NUMBER: _ClassVar[int]
    level: int
    pages_dict: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, level: _Optional[int] = ..., pages_dict: _Optional[_Iterable[int]] = ...) -> None: ...

class PullHeaderMessage(_message.Message):
    __slots__ = ("server_revision", "db_size", "raw_encoding", "zstd_encoding", "stream_kind", "apply_mode", "mvcc_log", "protocol")
    SERVER_REVISION_FIELD_NUMBER: _ClassVar[int]
    DB_SIZE_FIELD_NUMBER: _ClassVar[int]
    RAW_ENCODING_FIELD_NUMBER: _ClassVar[int]
    ZSTD_ENCODING_FIELD_NUMBER: _ClassVar[int]
    STREAM_KIND_FIELD_NUMBER: _ClassVar[int]
    APPLY_MODE_FIELD_NUMBER: _ClassVar[int]
    MVCC_LOG_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    server_revision: str
    db_size: int
    raw_encoding: RawEncoding
    zstd_encoding: ZstdEncoding
    stream_kind: StreamKind
    apply_mode: ApplyMode
    mvcc_log: bytes
    protocol: DatabaseProtocol
    def __init__(self, server_revision: _Optional[str] = ..., db_size: _Optional[int] = ..., raw_encoding: _Optional[_Union[RawEncoding, _Mapping]] = ..., zstd_encoding: _Optional[_Union[ZstdEncoding, _Mapping]] = ..., stream_kind: _Optional[_Union[StreamKind, str]] = ..., apply_mode: _Optional[_Union[ApplyMode, str]] = ..., mvcc_log: _Optional[bytes] = ..., protocol: _Optional[_Union[DatabaseProtocol, str]] = ...) -> None: ...

class PageMessage(_message.Message):
    __slots__ = ("page_id", "encoded_page")
    PAGE_ID_FIELD_NUMBER: _ClassVar[int]
    ENCODED_PAGE_FIELD_NUMBER: _ClassVar[int]
    page_id: int
    encoded_page: bytes
    def __init__(self, page_id: _Optional[int] = ..., encoded_page: _Optional[bytes] = ...) -> None: ...
