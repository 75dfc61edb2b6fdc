"""Where the bytes of uploads are kept, and what they are. It knows no database and no HTTP: an import uses it as the daemon does.

async with folder.arriving() as arrival:       # a file of its own, removed at the end unless it was kept
await arrival.write(piece)                 # … each of its bytes
examined = await examine(arrival.path, name)
...                                        # the row is written: bytes without a row nobody would ever clear away
await folder.keep(attachment_id, arrival, examined)
"""
