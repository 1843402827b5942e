/*
 * The console page in a real browser, against a running plenumd.
 *
 * PLENUM_URL is its base (default http://127.0.0.1:8080), CHROMIUM the browser (default
 * /usr/bin/chromium). Needs playwright-core, found as any module or through NODE_PATH. Exit status
 * 0 when all is well, 1 when anything failed, 77 (skipped) without playwright-core or a browser.
 *
 * Each run has a room of its own, so it can be repeated on the same server.
 */

import { createRequire } from "node:module";
import { existsSync } from "node:fs";

const BASE = (process.env.PLENUM_URL ?? "http://127.0.0.1:8080").replace(/\/$/, "");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ROOM = `test-${process.pid}-${Date.now().toString(36)}`;
const WAIT_MS = 10000;
const ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
	"--disable-background-networking", "--disable-component-update", "--disable-sync"];

function loadPlaywright() {
	try {
		return createRequire(import.meta.url)("playwright-core");
	} catch (error) {
		return null;
	}
}

const playwright = loadPlaywright();
if (playwright === null || !existsSync(CHROMIUM)) {
	console.log("1..0 # SKIP needs playwright-core and chromium");
	process.exit(77);
}

let count = 0;
let failed = 0;
const complaints = [];

async function test(name, body) {
	count++;
	try {
		await body();
		console.log(`ok ${count} - ${name}`);
	} catch (error) {
		failed++;
		console.log(`not ok ${count} - ${name}`);
		console.log(`# ${String(error.stack ?? error).split("\n").slice(0, 6).join("\n# ")}`);
	}
}

function same(got, wanted, what) {
	if (JSON.stringify(got) !== JSON.stringify(wanted)) {
		throw new Error(`${what}: got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
	}
}

/* A page of its own person. Its sockets are kept where the test can close them. */
async function enter(browser, name, options = {}) {
	const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
	const page = await context.newPage();

	page.setDefaultTimeout(WAIT_MS);
	page.on("pageerror", (error) => complaints.push(`${name}: ${error.message}`));
	page.on("console", (message) => {
		if (/Content Security Policy|TypeError|MIME/.test(message.text()))
			complaints.push(`${name}: ${message.text()}`);
	});
	await page.addInitScript((who) => {
		const Real = window.WebSocket;

		localStorage.setItem("plenum.name", who);
		window.testSockets = [];
		window.WebSocket = class extends Real {
			constructor(...args) {
				super(...args);
				window.testSockets.push(this);
			}
		};
	}, name);
	await page.goto(`${BASE}/#${ROOM}`);
	await live(page);
	return page;
}

async function live(page) {
	await page.waitForFunction(() => window.plenumRoom?.state === "live");
}

function figures(page) {
	return page.evaluate(() => ({ epoch: plenumRoom.epoch, seq: plenumRoom.seq,
		strokes: plenumRoom.strokes, points: plenumRoom.points, messages: plenumRoom.messages,
		waiting: plenumRoom.waiting }));
}

/* Waits until both pages have come to the same figures with nothing left to send. */
async function settle(a, b) {
	const until = Date.now() + WAIT_MS;

	for (;;) {
		const [one, two] = [await figures(a), await figures(b)];

		if (one.waiting === 0 && JSON.stringify(one) === JSON.stringify(two))
			return one;
		if (Date.now() > until)
			throw new Error(`${JSON.stringify(one)} is not ${JSON.stringify(two)}`);
		await a.waitForTimeout(50);
	}
}

async function press(page, from, to, { steps = 30, release = true } = {}) {
	const box = await page.locator("#live").boundingBox();
	const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];

	await page.mouse.move(...at(from));
	await page.mouse.down();
	await page.mouse.move(...at(to), { steps });
	if (release)
		await page.mouse.up();
}

/* How many dots of the paper bear ink. */
function inked(page, id) {
	return page.evaluate((which) => {
		const canvas = document.getElementById(which);
		const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
		let n = 0;

		for (let i = 3; i < data.length; i += 4)
			n += data[i] > 0;
		return n;
	}, id);
}

function texts(page) {
	return page.locator("#log .message p").allTextContents();
}

async function closeSocket(page) {
	const n = await page.evaluate(() => {
		const open = window.testSockets.filter((socket) => socket.readyState === WebSocket.OPEN);

		for (const socket of open)
			socket.close();
		return open.length;
	});

	same(n, 1, "open sockets of the page");
}

const browser = await playwright.chromium.launch({ executablePath: CHROMIUM, args: ARGS });
try {
	const ann = await enter(browser, "Ann");
	const bob = await enter(browser, "Bob", { colorScheme: "dark" });

	await test("the page says which slot serves it", async () => {
		await ann.waitForFunction(() => Number.isInteger(plenumRoom.slot));
		same(await ann.locator("#g-slot").textContent(),
			String(await ann.evaluate(() => plenumRoom.slot)), "slot shown");
		await ann.waitForFunction(() => /ms$/.test(document.getElementById("g-rtt").textContent));
	});

	await test("two people see each other", async () => {
		await ann.locator("#members li", { hasText: "Bob" }).waitFor();
		await bob.locator("#members li", { hasText: "Ann" }).waitFor();
	});

	await test("a pointer shows on the other page, with its name", async () => {
		const box = await ann.locator("#live").boundingBox();

		await ann.mouse.move(box.x + 100, box.y + 100);
		await ann.mouse.move(box.x + 140, box.y + 120);
		await bob.locator(".pointer span", { hasText: "Ann" }).waitFor();
		same(await ann.evaluate(() => plenumRoom.pointers), 0, "own pointers on the own page");
	});

	await test("a stroke grows on the other page while it is drawn", async () => {
		same(await inked(bob, "live"), 0, "ink before");
		await press(ann, [0.2, 0.2], [0.5, 0.4], { steps: 8, release: false });
		await bob.waitForFunction(() => plenumRoom.previews === 1);
		await ann.mouse.up();
		await bob.waitForFunction(() => plenumRoom.previews === 0 && plenumRoom.strokes === 1);
	});

	await test("a stroke is on both papers once, and its ink too", async () => {
		const now = await settle(ann, bob);

		same(now.strokes, 1, "strokes");
		const [one, two] = [await inked(ann, "base"), await inked(bob, "base")];

		if (one < 100 || Math.abs(one - two) > one / 50)
			throw new Error(`${one} dots here, ${two} there`);
	});

	await test("a message shows on both pages once, as text", async () => {
		const text = "<img src=x onerror=\"document.title='bad'\"> & so on";

		await ann.fill("#text", text);
		await ann.press("#text", "Enter");
		await bob.waitForFunction(() => plenumRoom.messages === 1);
		await settle(ann, bob);
		same(await texts(ann), [text], "messages of Ann");
		same(await texts(bob), [text], "messages of Bob");
		same(await bob.locator("#log img").count(), 0, "images made of text");
	});

	await test("a message is sent with the keyboard alone", async () => {
		await bob.evaluate(() => document.activeElement?.blur());
		for (let i = 0; i < 30; i++) {
			await bob.keyboard.press("Tab");
			if (await bob.evaluate(() => document.activeElement.id === "text"))
				break;
		}
		await bob.keyboard.type("by hand");
		await bob.keyboard.press("Enter");
		await ann.locator("#log .message p", { hasText: "by hand" }).waitFor();
	});

	await test("a stroke is drawn with the keyboard alone", async () => {
		const before = (await settle(ann, bob)).strokes;

		await bob.evaluate(() => document.activeElement?.blur());
		for (let i = 0; i < 30; i++) {
			await bob.keyboard.press("Tab");
			if (await bob.evaluate(() => document.activeElement.id === "live"))
				break;
		}
		await bob.keyboard.press("Space");
		for (let i = 0; i < 12; i++)
			await bob.keyboard.press(i % 2 ? "ArrowDown" : "Shift+ArrowLeft");
		await bob.keyboard.press("Escape");
		same(await bob.evaluate(() => document.activeElement.id === "live"), false, "still there");
		await ann.waitForFunction((n) => plenumRoom.strokes === n, before + 1);
		await settle(ann, bob);
	});

	await test("a page whose socket closed resumes and misses nothing", async () => {
		const before = await settle(ann, bob);

		await closeSocket(bob);
		await bob.waitForFunction(() => plenumRoom.state !== "live");
		await ann.fill("#text", "while Bob was away");
		await ann.press("#text", "Enter");
		await press(ann, [0.6, 0.2], [0.8, 0.6]);
		await bob.fill("#text", "while away myself");
		await bob.press("#text", "Enter");
		await live(bob);
		const now = await settle(ann, bob);

		same([now.epoch, now.messages - before.messages, now.strokes - before.strokes],
			[before.epoch, 2, 1], "epoch, new messages, new strokes");
		same(await bob.evaluate(() => plenumRoom.counters.gaps), 0, "gaps");
		same((await texts(bob)).sort(), (await texts(ann)).sort(), "messages");
	});

	await test("a stroke goes on over a lost connection", async () => {
		const before = await settle(ann, bob);

		await press(ann, [0.1, 0.8], [0.4, 0.8], { release: false });
		await closeSocket(ann);
		await press(ann, [0.4, 0.8], [0.7, 0.9]);
		await live(ann);
		const now = await settle(ann, bob);

		if (now.strokes <= before.strokes)
			throw new Error("the stroke is not there");
	});

	await test("who comes later sees the drawing and the messages", async () => {
		const now = await settle(ann, bob);
		const eve = await enter(browser, "Eve", { viewport: { width: 390, height: 844 } });
		const hers = await settle(ann, eve);

		same(hers, now, "figures");
		same((await texts(eve)).length, now.messages, "messages shown");
		if (await inked(eve, "base") < 100)
			throw new Error("her paper is empty");
		await eve.context().close();
	});

	await test("clearing asks first and then clears every paper", async () => {
		await ann.click("#clear");
		await ann.keyboard.press("Escape");
		await ann.waitForTimeout(300);
		if ((await figures(bob)).strokes === 0)
			throw new Error("cleared without consent");
		await ann.click("#clear");
		await ann.click("#clear-dialog button[value=yes]");
		await bob.waitForFunction(() => plenumRoom.strokes === 0);
		same((await settle(ann, bob)).strokes, 0, "strokes");
		same(await inked(bob, "base"), 0, "ink");
	});

	await test("the phone's page has no overflow and its panels change places", async () => {
		const phone = await enter(browser, "Phone", { viewport: { width: 390, height: 844 },
			hasTouch: true, isMobile: true });

		same(await phone.evaluate(() => document.documentElement.scrollWidth), 390, "width");
		same(await phone.locator("#members").isVisible(), false, "people at first");
		await phone.click("[data-for=people]");
		same(await phone.locator("#members").isVisible(), true, "people then");
		same(await phone.locator("#log").isVisible(), false, "chat then");
	});

	await test("no page complained", async () => {
		same(complaints, [], "complaints");
	});
} catch (error) {
	failed++;
	console.log(`not ok ${count + 1} - ${String(error.message).split("\n")[0]}`);
} finally {
	await browser.close();
}
console.log(`1..${count}`);
process.exit(failed === 0 ? 0 : 1);
