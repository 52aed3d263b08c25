import { demo } from "./demo.js";

const STAFF_TAB = "ChangeAPrice";
const staffHeaders = JSON.stringify({ authorization: `Bearer ${demo?.staffToken ?? "kst_…"}` }, null, 2);

const dashboard = `# A buyer's start page. Sign in above first.
query Dashboard {
  serverTime
  me {
    displayName
    home {
      orderCounts { status count }
      disputeCount
      reviewCount
      unreadMessageCount
      favoriteStores { name }
      attention {
        awaitingPayment
        protectionEnding
        couponsEnding
      }
    }
    orders(first: 5) {
      totalCount
      edges {
        node {
          number
          status
          placedAt
          total { formatted }
          store { name }
          items { title quantity }
          protection { phase endsAt secondsLeft }
        }
      }
    }
    coupons(first: 10) {
      totalCount
      edges {
        node {
          title
          issuer
          state
          endsAt
          secondsLeft
          amountOff { formatted }
          percentOff
          minimumSpend { formatted }
          store { name }
        }
      }
    }
    favorites(first: 5) {
      totalCount
      edges {
        node {
          product { title available }
          price { formatted }
          change { percent amount { formatted } }
        }
      }
    }
  }
}
`;

const orders = `# A page of orders; the next is after: endCursor.
query Orders($tab: OrderTab!, $search: String, $after: String) {
  me {
    orders(tab: $tab, search: $search, first: 10, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      edges {
        node {
          id
          number
          status
          placedAt
          total { amount currency formatted }
          discount { formatted }
          store { name }
          address
          items {
            title
            quantity
            price { formatted }
            product { id available }
          }
          shipments {
            carrier
            trackingNumber
            shippedAt
            deliveredAt
            events { at status place }
          }
          protection {
            phase
            startsAt
            endsAt
            secondsLeft
            serverTime
            ending
            frozen
            fundsReleaseAt
            extensions { days by state at }
          }
          coupons { title state }
          conversation { id unreadCount }
          actions {
            name
            allowed
            code
            message
            availableFrom
            availableUntil
          }
        }
      }
    }
  }
}
`;

const favorites = `# What the buyer watches, and how prices moved.
query Favorites($after: String) {
  me {
    favorites(first: 10, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      edges {
        node {
          id
          addedAt
          priceWhenAdded { formatted }
          price { formatted }
          lowestPrice30Days { formatted }
          change { percent amount { formatted } }
          watch {
            kind
            target { formatted }
            percent
            paused
            alreadyMet
          }
          product {
            id
            title
            available
            store { name }
          }
        }
      }
    }
  }
}
`;

const signInMethods = `# How the buyer signs in, where they are signed in,
# and what a form may offer in a country.
query SignInMethods($region: String!) {
  me {
    signInMethods {
      lockoutRisk
      recommendation
      methods {
        id
        kind
        masked
        verified
        usable
        actions { name allowed code message }
      }
    }
    sessions { id current agent address createdAt usedAt endsAt }
  }
  signInPolicy(region: $region) {
    ways { kind signUp signIn link }
  }
}
`;

const priceDrops = `# Runs until it is stopped. Now lower a price, by the
# tab ${STAFF_TAB} of a second window: choosing
# another tab in this one stops it.
subscription PriceDrops {
  priceDrops {
    cursor
    at
    product { id title }
    oldPrice { formatted }
    newPrice { formatted }
    favorite {
      id
      lowestPrice30Days { formatted }
      watch { kind alreadyMet }
    }
  }
}
`;

const changeAPrice = `# What a platform's own system sends.
# The staff token stands under Headers.
mutation ${STAFF_TAB}($input: SetPricesInput!) {
  setPrices(input: $input) {
    results { externalId status code message }
  }
}
`;

// In the demo world Anna and Boris watch this product.
const priceRow = { externalId: "demo-product-10", amount: "990.00", currency: "RUB" };

export const exampleTabs = [
  { query: dashboard },
  { query: orders, variables: pretty({ tab: "ALL", search: null, after: null }) },
  { query: favorites, variables: pretty({ after: null }) },
  { query: signInMethods, variables: pretty({ region: "RU" }) },
  { query: priceDrops },
  { query: changeAPrice, variables: pretty({ input: { rows: [priceRow] } }), headers: staffHeaders },
];

function pretty(value) {
  return JSON.stringify(value, null, 2);
}
