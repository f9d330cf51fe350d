/** Sample app: a notes API. Notes are kept in a file, because the program itself comes and goes. */

import { Database } from "bun:sqlite";
import { join } from "node:path";
import { listen } from "./listen.ts";

interface Note {
  readonly id: number;
  readonly text: string;
  readonly done: boolean;
}

const TEXT_CHARS_MAX = 500;

const folder = process.env.DEMO_DIR;
const database = new Database(folder === undefined ? ":memory:" : join(folder, "notes.sqlite"));
database.run(
  "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0)",
);

listen({
  routes: {
    "/": {
      GET: () =>
        Response.json({
          name: "notes",
          try: ["GET /notes", "POST /notes", "GET, PUT, PATCH, DELETE /notes/:id"],
          runningForSeconds: Math.round(process.uptime() * 10) / 10,
          process: process.pid,
        }),
    },
    "/notes": { GET: () => Response.json(allNotes()), POST: addNote },
    "/notes/:id": {
      GET: (request) => withNote(request, (note) => Response.json(note)),
      PUT: (request) => withNote(request, (note) => changeNote(note, request, false)),
      PATCH: (request) => withNote(request, (note) => changeNote(note, request, true)),
      DELETE: (request) => withNote(request, deleteNote),
    },
  },
  fetch(request) {
    const { pathname } = new URL(request.url);
    const allowed = methodsOf(pathname);
    if (allowed === null)
      return problem(404, `There is nothing at ${pathname}; GET / lists what there is.`);
    const headers = { allow: allowed };
    if (request.method === "OPTIONS") return new Response(null, { status: 204, headers });
    return problem(405, `Only ${allowed} can be used here.`, headers);
  },
  error: (error) => problem(500, error.message),
});

function methodsOf(pathname: string): string | null {
  if (pathname === "/") return "GET, HEAD, OPTIONS";
  if (pathname === "/notes") return "GET, HEAD, POST, OPTIONS";
  return /^\/notes\/[^/]+$/.test(pathname) ? "GET, HEAD, PUT, PATCH, DELETE, OPTIONS" : null;
}

async function addNote(request: Request): Promise<Response> {
  const wanted = await readNote(request);
  if (typeof wanted === "string") return problem(400, wanted);
  if (wanted.text === undefined) return problem(400, "`text` is missing.");
  const { lastInsertRowid } = database.run("INSERT INTO notes (text, done) VALUES (?, ?)", [
    wanted.text,
    wanted.done ?? false,
  ]);
  const id = Number(lastInsertRowid);
  const headers = { location: `/notes/${id}` };
  return Response.json(noteWith(id), { status: 201, headers });
}

async function changeNote(note: Note, request: Request, partly: boolean): Promise<Response> {
  const wanted = await readNote(request);
  if (typeof wanted === "string") return problem(400, wanted);
  if (!partly && wanted.text === undefined) return problem(400, "`text` is missing.");
  database.run("UPDATE notes SET text = ?, done = ? WHERE id = ?", [
    wanted.text ?? note.text,
    wanted.done ?? (partly && note.done),
    note.id,
  ]);
  return Response.json(noteWith(note.id));
}

function deleteNote(note: Note): Response {
  database.run("DELETE FROM notes WHERE id = ?", [note.id]);
  return new Response(null, { status: 204 });
}

/** What the request's body asks for, or what is wrong with it. */
async function readNote(request: Request): Promise<Partial<Note> | string> {
  const body = await request.json().catch(() => null);
  if (typeof body !== "object" || body === null) return "The body must be a JSON object.";
  const { text, done } = body as Record<string, unknown>; // Any object may be read by name.
  if (text !== undefined && (typeof text !== "string" || text === ""))
    return "`text` must be a text that is not empty.";
  if (typeof text === "string" && text.length > TEXT_CHARS_MAX)
    return `\`text\` has ${text.length} characters; at most ${TEXT_CHARS_MAX} fit.`;
  if (done !== undefined && typeof done !== "boolean") return "`done` must be true or false.";
  return { ...(text === undefined ? {} : { text }), ...(done === undefined ? {} : { done }) };
}

function withNote(
  request: Bun.BunRequest<string>,
  answer: (note: Note) => Response | Promise<Response>,
): Response | Promise<Response> {
  const note = noteWith(Number(request.params.id));
  return note === null ? problem(404, `There is no note ${request.params.id}.`) : answer(note);
}

function allNotes(): Note[] {
  return database.query<Row, []>("SELECT * FROM notes ORDER BY id").all().map(noteOf);
}

function noteWith(id: number): Note | null {
  const row = database.query<Row, [number]>("SELECT * FROM notes WHERE id = ?").get(id);
  return row === null ? null : noteOf(row);
}

interface Row {
  readonly id: number;
  readonly text: string;
  readonly done: 0 | 1;
}

function noteOf(row: Row): Note {
  return { ...row, done: row.done === 1 };
}

function problem(status: number, error: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error }, { status, headers });
}
