// Runs http-cache-tests against a farmgate that it starts, and holds the result against allowed.json.
//
//   node suite.mjs MODULES FARMGATE [TEST]
//
// MODULES is a node_modules folder with http-cache-tests, FARMGATE the binary. With a TEST, that one alone is run, its
// requests and responses are shown, and nothing is judged.
//
// The gate: every required and optimal test passes, but for those in allowed.json, each with its reason; and each of
// those does not pass. So a change for the worse and a change for the better are both seen, by the test's name.

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, copyFileSync, createWriteStream } from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const HERE = path.dirname(fileURLToPath(import.meta.url))
// The issue that asked for the gate allows no more.
const MOST_OPTIMAL_FAILURES = 11
// Tests that run at once. Most of them wait for seconds to pass.
const AT_ONCE = 50
const READY_MS = 20_000

const [modules, farmgate, only] = process.argv.slice(2)
if (!modules || !farmgate) {
  console.error('usage: node suite.mjs MODULES FARMGATE [TEST]')
  process.exit(2)
}
const SUITE = path.resolve(modules, 'http-cache-tests')
const load = file => import(pathToFileURL(path.join(SUITE, file)).href)

const children = []
const folder = mkdtempSync(path.join(os.tmpdir(), 'farmgate-suite-'))

function start (name, command, args, options) {
  const log = createWriteStream(path.join(folder, `${name}.log`))
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.pipe(log)
  child.stderr.pipe(log)
  child.on('error', error => console.error(`${name}: ${error.message}`))
  const ended = new Promise(resolve => child.on('close', code => resolve(code)))
  children.push({ name, child, ended })
}

async function stop () {
  for (const { name, child, ended } of children.reverse()) {
    child.kill('SIGTERM')
    const killing = setTimeout(() => child.kill('SIGKILL'), 5_000)
    const code = await ended
    clearTimeout(killing)
    if (name === 'farmgate' && code !== 0) {
      console.error(`farmgate ended with ${code}`)
      process.exitCode = 1
    }
  }
}

// A port that is free now; it is bound again at once by whoever gets it.
function freePort () {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function ready (port, name) {
  const end = Date.now() + READY_MS
  const child = children.find(each => each.name === name).child
  while (child.exitCode === null && Date.now() < end) {
    const open = await new Promise(resolve => {
      const socket = net.connect(port, '127.0.0.1')
      socket.on('connect', () => { socket.destroy(); resolve(true) })
      socket.on('error', () => resolve(false))
    })
    if (open) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`${name} is not ready on port ${port}:\n${log(name)}`)
}

function log (name) {
  return readFileSync(path.join(folder, `${name}.log`), 'utf8').split('\n').slice(-40).join('\n')
}

async function run () {
  const [origin, proxy] = [await freePort(), await freePort()]
  const env = { ...process.env, npm_config_protocol: 'http', npm_config_port: `${origin}` }
  env.npm_config_pidfile = path.join(folder, 'origin.pid')
  const hook = path.join(HERE, 'loopback.cjs')
  // Its static files are read from where it stands.
  start('origin', process.execPath, ['--require', hook, 'server/server.mjs'], { cwd: SUITE, env })
  copyFileSync(path.join(HERE, 'farmgate.toml'), path.join(folder, 'farmgate.toml'))
  start('farmgate', path.resolve(farmgate), ['run', '--config', 'farmgate.toml'], {
    cwd: folder,
    env: { ...process.env, SUITE: `127.0.0.1:${proxy}`, ORIGIN: `127.0.0.1:${origin}`, RUNTIME_DIRECTORY: folder }
  })
  await ready(origin, 'origin')
  await ready(proxy, 'farmgate')

  const { runTests, getResults } = await load('client/runner.mjs')
  const { default: fetch } = await import(pathToFileURL(path.join(SUITE, '../node-fetch/lib/index.mjs')).href)
  const { default: suites } = await load('tests/index.mjs')
  const chosen = only === undefined ? suites : suites.flatMap(suite => {
    const tests = suite.tests.filter(test => test.id === only)
    for (const test of tests) test.dump = true
    return tests.length ? [{ ...suite, tests }] : []
  })
  if (!chosen.length) throw new Error(`the suite has no test ${only}`)
  await runTests(chosen, fetch, false, `http://127.0.0.1:${proxy}`, AT_ONCE)
  return { suites, results: getResults() }
}

async function verdicts ({ suites, results }) {
  const { determineTestResult } = await load('lib/display.mjs')
  const out = []
  for (const test of suites.flatMap(suite => suite.tests)) {
    if (test.browser_only || (only !== undefined && test.id !== only)) continue
    const [, , sign] = determineTestResult(suites, test.id, results)
    const words = { '✅': 'pass', Y: 'pass', '⛔️': 'fail', '⚠️': 'fail', N: 'no', '⚪️': 'dependency', '🔹': 'setup', '↻': 'retry', '⁉️': 'harness', '-': 'untested' }
    const kind = test.kind ?? 'required'
    const why = Array.isArray(results[test.id]) ? results[test.id].join(': ') : ''
    out.push({ id: test.id, kind, verdict: words[sign] ?? sign, why })
  }
  return out
}

function judge (all) {
  const allowed = JSON.parse(readFileSync(path.join(HERE, 'allowed.json'), 'utf8'))
  const wrong = []
  for (const kind of ['required', 'optimal', 'check']) {
    const of = all.filter(test => test.kind === kind)
    const count = verdict => of.filter(test => test.verdict === verdict).length
    const rest = of.length - count('pass') - count('fail') - count('no')
    console.log(`${kind}: ${of.length} tests, ${count('pass')} pass, ${count('fail') + count('no')} do not, ${rest} not judged`)
    if (kind === 'check') continue
    const names = allowed[kind]
    for (const { id, verdict, why } of of) {
      const passes = verdict === 'pass'
      if (!passes && !(id in names)) wrong.push(`${kind} ${id}: ${verdict}: ${why}`)
      if (passes && id in names) wrong.push(`${kind} ${id} passes now: take it out of allowed.json`)
      if (!passes && id in names) console.log(`  allowed: ${id}: ${verdict}: ${names[id]}`)
    }
    for (const id of Object.keys(names)) {
      if (!of.some(test => test.id === id)) wrong.push(`${kind} ${id} stands in allowed.json and not in the suite`)
    }
    if (kind === 'optimal' && of.length - count('pass') > MOST_OPTIMAL_FAILURES) {
      wrong.push(`more than ${MOST_OPTIMAL_FAILURES} optimal tests do not pass`)
    }
  }
  return wrong
}

try {
  const all = await verdicts(await run())
  if (only !== undefined) {
    console.log(all.map(({ id, verdict, why }) => `${id}: ${verdict} ${why}`).join('\n'))
  } else {
    const wrong = judge(all)
    for (const line of wrong) console.error(`WRONG ${line}`)
    if (wrong.length) process.exitCode = 1
  }
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  await stop()
  rmSync(folder, { recursive: true, force: true })
}
